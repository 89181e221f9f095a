"""What the shipping process is told: which spools and kept frames go where."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from serve.settings import Settings
from store.errors import InvalidInput

PASSWORDS = {
    "postgres": "VISION_SERVE_POSTGRES_PASSWORD",
    "mqtt": "VISION_SERVE_MQTT_PASSWORD",
}
"""Environment variable of each password; a file that is named in the plan goes before it."""


class LinePlan(BaseModel):
    """One line: its name, the folder of its spool and of its kept frames (None: none are kept)."""

    model_config = ConfigDict(frozen=True)

    line: str
    spool: Path
    kept: Path | None = None


class PostgresPlan(BaseModel):
    """A database: ``postgresql://user@host:port/database``, without a password."""

    model_config = ConfigDict(frozen=True)

    dsn: str
    password_file: Path | None = None


class MqttPlan(BaseModel):
    """A broker: ``mqtt://host:port`` or, encrypted, ``mqtts://host:port``."""

    model_config = ConfigDict(frozen=True)

    url: str
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None


class Plan(BaseModel):
    """Everything that the process is to do. Holds no password."""

    model_config = ConfigDict(frozen=True)

    store: str
    host: str
    lines: tuple[LinePlan, ...]
    every_s: float = 60.0
    postgres: PostgresPlan | None = None
    mqtt: MqttPlan | None = None
    log_level: str = "info"

    @property
    def sinks(self) -> tuple[str, ...]:
        """Names of the places that rows go to."""
        chosen = {"parquet": True, "postgres": self.postgres, "mqtt": self.mqtt}
        return tuple(name for name, is_chosen in chosen.items() if is_chosen)


def plan_of(settings: Settings) -> Plan:
    """What the settings of a server say of shipping."""
    postgres = mqtt = None
    if settings.postgres:
        postgres = PostgresPlan(
            dsn=settings.postgres, password_file=settings.postgres_password_file
        )
    if settings.mqtt:
        mqtt = MqttPlan(
            url=settings.mqtt,
            user=settings.mqtt_user,
            password_file=settings.mqtt_password_file,
            ca_file=settings.mqtt_ca,
        )
    return Plan(
        store=settings.store,
        host=settings.host,
        lines=tuple(
            LinePlan(
                line=str(line),
                spool=settings.spool_folder(line),
                kept=settings.kept_folder(line) if settings.keep_mib else None,
            )
            for line in settings.line_keys
        ),
        every_s=settings.ship_every_s,
        postgres=postgres,
        mqtt=mqtt,
        log_level=settings.log_level,
    )


def passwords_of(settings: Settings) -> dict[str, str]:
    """The passwords that the settings hold, by name of the place."""
    given = {"postgres": settings.postgres_password, "mqtt": settings.mqtt_password}
    return {sink: secret.get_secret_value() for sink, secret in given.items() if secret}


def password(sink: str, file: Path | None) -> str | None:
    """The password for a place, from its file, else from the environment; None without any.

    Raises:
        InvalidInput: when the file cannot be read.
    """
    if file is None:
        return os.environ.get(PASSWORDS[sink])
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInput(
            f"the password file {file} cannot be read: {why}; make it a text file that the "
            "server's user may read"
        ) from error
