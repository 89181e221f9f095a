"""Settings of what becomes of decisions and frames: spool, shipping, kept frames.

A part of `serve.settings.Settings`, which is the one class that a server is made of.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings

_PLACES = {
    "postgres": (r"postgres(ql)?://.+", "postgresql://user@host:port/database", "asyncpg"),
    "mqtt": (r"mqtts?://[^/@:]+(:\d{1,5})?", "mqtt://host:port or mqtts://host:port", "paho"),
}
MAY_HOLD_SECRETS = {"postgres", "mqtt", "postgres_password", "mqtt_password"}
"""Fields whose value is not repeated in a message."""


class RecordSettings(BaseSettings):
    """How decisions and frames are kept and shipped."""

    spool: Path | None = Field(
        None,
        description="folder of the decisions; default .vision/serve/SITE/LINE/spool; with several "
        "lines each has SITE/LINE below it",
    )
    strict: bool = Field(
        False,
        description="sync each decision to disk before its answer leaves, so that even a power "
        "cut loses none; without it the last `commit_ms` may be lost then",
    )
    commit_ms: float = Field(
        5.0, ge=0.5, le=1000, description="pause between two syncs of the spool, milliseconds"
    )
    spool_max_mib: int = Field(
        4096,
        ge=1,
        description="most that the spool takes of the disk, MiB (4096 hold about three million "
        "decisions); what was shipped goes first, and is no loss",
    )
    spool_segment_mib: int = Field(
        16,
        ge=1,
        le=1024,
        description="size of one spool file, MiB; at most a quarter of `spool_max_mib`",
    )
    spool_keep_h: float = Field(
        24.0,
        ge=0,
        le=87_600,
        description="how long decisions stay in the spool after they were written, when they are "
        "shipped, hours: to be looked at on the host",
    )
    when_spool_full: Literal["drop_oldest", "refuse"] = Field(
        "drop_oldest",
        description="what gives way when `spool_max_mib` is full of decisions that wait to be "
        "shipped: the oldest of them, counted and told as a fault, or new frames, which then get "
        "no verdict, since there is none without a record",
    )
    ship: bool = Field(
        True,
        description="whether decisions and kept frames are shipped. Off on a trial, whose "
        "decisions are nobody's",
    )
    ship_every_s: float = Field(
        60.0,
        ge=0.05,
        le=3600,
        description="about how often a file of decisions is written to the store, seconds; more "
        "often makes smaller files",
    )
    ship_behind_s: float = Field(
        900.0,
        ge=1,
        le=2_592_000,
        description="when decisions wait longer than this to be shipped, the health service "
        "`shipping` says NOT_SERVING, seconds",
    )
    postgres: str | None = Field(
        None,
        description="database to which decisions are shipped, too: postgresql://user@host:port/"
        "database, `?sslmode=verify-full` for an encrypted one; without the password",
    )
    postgres_password: SecretStr | None = Field(
        None, description="its password, from the environment only"
    )
    postgres_password_file: Path | None = Field(None, description="or the file that holds it")
    mqtt: str | None = Field(
        None,
        description="broker that gets an event for each decision: mqtt://host:port, or "
        "mqtts://host:port for an encrypted one",
    )
    mqtt_user: str | None = Field(None, description="user at the broker")
    mqtt_password: SecretStr | None = Field(
        None, description="the user's password, from the environment only"
    )
    mqtt_password_file: Path | None = Field(None, description="or the file that holds it")
    mqtt_ca: Path | None = Field(
        None, description="file of the broker's CA certificates; default: those of the system"
    )
    kept: Path | None = Field(
        None,
        description="folder of kept frames; default .vision/serve/SITE/LINE/kept, or beside "
        "`spool` with -kept behind its name; with several lines each has SITE/LINE below it",
    )
    keep_mib: int = Field(
        2048,
        ge=0,
        description="most that kept frames take of the disk for each line, MiB, three quarters of "
        "it for rejects and reviews; 0 keeps none",
    )
    keep_frames: int = Field(
        200_000,
        ge=4,
        description="most frames that are kept for each line, shared alike: each costs the server "
        "0.2 KiB of memory besides its bytes on disk",
    )
    keep_reserve_mib: int = Field(
        1024,
        ge=0,
        description="free space on the disk of the kept frames that is left to the spool, MiB: "
        "with less no frame is kept, and the oldest kept ones are deleted",
    )
    keep_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of all frames that is kept whatever the verdict, by a hash of the frame "
        "id: without it nobody would see what passes",
    )

    @field_validator("postgres", "mqtt")
    @classmethod
    def _place_can_be_reached(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            check_place(str(info.field_name), value)
        return value

    @model_validator(mode="after")
    def _full_spool_can_be_emptied(self) -> Self:
        if self.when_spool_full == "refuse" and not self.ship:
            raise ValueError(
                "when_spool_full is 'refuse' and ship is off: once full, the spool would never "
                "take a decision again; ship them, or let the oldest go"
            )
        return self


def check_place(name: str, value: str) -> None:
    """Refuse the URL of a place for decisions that holds a password, or cannot be gone to.

    A password in it would be seen in lists of processes and in logs.

    Args:
        name: ``postgres`` or ``mqtt``.
        value: The URL.

    Raises:
        ValueError: with what to do.
    """
    pattern, example, library = _PLACES[name]
    if re.search(r"//[^/@]*:[^/@]*@", value) or "password=" in value:
        raise ValueError(
            "a password does not belong into the address; put it into a file and name that with "
            "the setting of the same name and `_password_file`"
        )
    if not re.fullmatch(pattern, value):
        raise ValueError(f"expected {example}")
    if find_spec(library) is None:
        raise ValueError(f"needs a library more: pip install '.[{name}]' in a clone")
