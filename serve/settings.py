"""All settings of the server: one class, from the command line or ``VISION_SERVE_*``."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from store.errors import InvalidInput
from store.keys import LineKey
from store.root import Store

MIB = 2**20

_HIGHEST_PORT = 65_535
_EXAMPLES = {
    "store": "--store .vision/store",
    "lines": "--line turin/press-3",
    "listen": "--listen 127.0.0.1:50051",
}


class Settings(BaseSettings):
    """The settings of one server process.

    Each field is read from the environment variable ``VISION_SERVE_`` + its name in capitals,
    unless the command line gives it.
    """

    model_config = SettingsConfigDict(env_prefix="VISION_SERVE_", extra="forbid", frozen=True)

    store: str = Field(min_length=1, description="root of the store: a folder or a file:// URL")
    lines: Annotated[tuple[str, ...], NoDecode] = Field(
        min_length=1,
        description="the lines whose live releases answer, each written site/line; several are "
        "separated by commas",
    )
    listen: str = Field(
        "127.0.0.1:50051",
        description="host:port or unix:PATH; port 0 takes a free one. The transport is not "
        "encrypted: whoever can reach the address can ask, so the default is this machine only",
    )
    fast_listen: str | None = Field(
        None,
        description="host:port or unix:PATH of the fast front: the same inspection.v1 without "
        "grpcio, for clients on this machine; not encrypted, so loopback or a Unix socket only",
    )
    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=256,
        description="engine sessions of one thread each, so how many frames are worked on at "
        "once; the default is one for each core this process may use",
    )
    callers: int = Field(
        256,
        ge=1,
        le=1024,
        description="requests and streams served at once (they wait for a worker); further ones "
        "end with RESOURCE_EXHAUSTED. Far above `waiting`, so that one camera cannot take them all",
    )
    waiting: int = Field(
        32,
        ge=1,
        le=1024,
        description="frames of one camera that may wait for a worker; further ones are answered "
        "at once with the `late` verdict and the reason queue_full",
    )
    deadline_ms: float | None = Field(
        None,
        gt=0,
        le=3_600_000,
        description="how long a frame may wait for a worker, milliseconds; one that waits longer, "
        "or than its client does, is answered with the `late` verdict. Default: as the client does",
    )
    late: Literal["REVIEW", "REJECT"] = Field(
        "REVIEW", description="verdict of a frame that nobody could look at in time"
    )
    weights: dict[str, Annotated[float, Field(gt=0, le=1000)]] = Field(
        default_factory=dict,
        description="share of the workers when all are wanted, by site/line/camera or site/line, "
        "as JSON; what is not named has 1",
    )
    spool: Path | None = Field(
        None,
        description="folder of the decisions; default .vision/serve/SITE/LINE/spool; with several "
        "lines each has SITE/LINE below it",
    )
    cache: Path | None = Field(
        None,
        description="folder of fetched bundles; default .vision/serve/SITE/LINE/cache; with "
        "several lines each has SITE/LINE below it",
    )
    cached_bundles: int = Field(
        3, ge=1, le=100, description="bundles kept in the cache, the live one included"
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
        description="over this size the oldest segment is deleted, logged and counted (4096 MiB "
        "hold about three million decisions)",
    )
    spool_segment_mib: int = Field(16, ge=1, le=1024, description="size of one spool file, MiB")
    poll_s: float = Field(
        1.0, ge=0.05, le=60, description="pause between two looks at the ledger, seconds"
    )
    retry_s: float = Field(
        30.0, ge=0.05, le=3600, description="pause before a release that failed is tried again"
    )
    max_message_mib: int = Field(
        64,
        ge=1,
        le=1024,
        description="largest request, MiB (12 megapixels of raw colour are 35); larger ones end "
        "with RESOURCE_EXHAUSTED before they are read",
    )
    max_pixels: int = Field(
        50_000_000,
        ge=1,
        description="frames with more pixels are refused before decoding; the bundle's contract "
        "may be stricter",
    )
    drain_s: float = Field(
        10.0, ge=0, le=600, description="how long SIGTERM waits for requests in work, seconds"
    )
    host: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="name of this host in decision ids",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug logs every decision; info logs releases and errors"
    )

    @field_validator("store")
    @classmethod
    def _store_can_be_opened(cls, value: str) -> str:
        try:
            Store(value)
        except ImportError as error:  # fsspec knows the protocol, but its library is not here
            raise ValueError(f"{error}; only a local folder is supported") from error
        return value

    @field_validator("listen", "fast_listen")
    @classmethod
    def _listen_is_an_address(cls, value: str | None) -> str | None:
        return None if value is None else check_address(value, lowest_port=0)

    @field_validator("fast_listen")
    @classmethod
    def _fast_listen_is_local(cls, value: str | None) -> str | None:
        if value is not None and not is_loopback(value):
            raise ValueError("only this machine may reach it: 127.0.0.1:PORT or unix:PATH")
        return value

    @field_validator("lines", mode="before")
    @classmethod
    def _lines_are_separated(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value

    @field_validator("lines")
    @classmethod
    def _lines_are_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for line in value:
                LineKey.parse(line)
        except InvalidInput as error:  # pydantic gathers ValueErrors only
            raise ValueError(str(error)) from error
        if len(set(value)) != len(value):
            raise ValueError("names one line twice")
        return value

    @property
    def line_keys(self) -> tuple[LineKey, ...]:
        """The lines as keys."""
        return tuple(map(LineKey.parse, self.lines))

    def spool_folder(self, line: LineKey) -> Path:
        """Where the spool of a line is."""
        return self._folder(self.spool, line, "spool")

    def cache_folder(self, line: LineKey) -> Path:
        """Where the fetched bundles of a line are."""
        return self._folder(self.cache, line, "cache")

    def _folder(self, given: Path | None, line: LineKey, name: str) -> Path:
        if given is None:
            return Path(".vision/serve", line.site, line.line, name)
        return given if len(self.lines) == 1 else given / line.site / line.line

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.listen)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address.

    >>> is_loopback("unix:/run/vision.sock"), is_loopback("0.0.0.0:50051")
    (True, False)
    """
    host = address.rpartition(":")[0].strip("[]")
    return address.startswith("unix:") or host in ("127.0.0.1", "::1", "localhost")


def check_address(value: str, lowest_port: int) -> str:
    """Return `value` when it is ``host:port`` or ``unix:PATH``.

    Raises:
        ValueError: with the rule, when it is neither.
    """
    if not re.fullmatch(r"unix:.+", value):
        found = re.fullmatch(r"(.+):(\d{1,5})", value)
        if found is None:
            raise ValueError("expected host:port or unix:PATH")
        if not lowest_port <= int(found[2]) <= _HIGHEST_PORT:
            raise ValueError(f"a port is a number from {lowest_port} to {_HIGHEST_PORT}")
    return value


def load(given: Mapping[str, object]) -> Settings:
    """The settings of this process: what is given, then the environment, then the defaults.

    Args:
        given: Fields by name; None counts as not given.

    Raises:
        InvalidInput: naming every wrong setting at once.
    """
    try:
        return Settings.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        raise InvalidInput.listing(
            "settings (an option, or VISION_SERVE_ and the name in capitals):",
            [_fault(found) for found in error.errors()],
        ) from error


def _fault(found: ErrorDetails) -> str:
    """One wrong setting in words, with an example where there is one."""
    name = ".".join(map(str, found["loc"]))
    example = f", such as {_EXAMPLES[name]}" if name in _EXAMPLES else ""
    if found["type"] == "missing":
        return f"{name} is missing: give it{example}"
    why = found["msg"].removeprefix("Value error, ").removeprefix("Input ")
    # Some of our own messages begin with the name and the value already.
    what = "" if why.startswith(f"{name} ") else f"{name} is {str(found['input'])!r}: "
    return f"{what}{why}{example}"
