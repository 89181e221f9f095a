"""All settings of the server: one class, from the command line or ``VISION_SERVE_*``."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from store.errors import InvalidInput
from store.keys import LineKey
from store.root import Store

MIB = 2**20

_HIGHEST_PORT = 65_535
_EXAMPLES = {
    "store": "--store .vision/store",
    "line": "--line turin/press-3",
    "listen": "--listen 127.0.0.1:50051",
}


class Settings(BaseSettings):
    """The settings of one server process.

    Each field is read from the environment variable ``VISION_SERVE_`` + its name in capitals,
    unless the command line gives it.
    """

    model_config = SettingsConfigDict(env_prefix="VISION_SERVE_", extra="forbid", frozen=True)

    store: str = Field(min_length=1, description="root of the store: a folder or a file:// URL")
    line: str = Field(description="the line whose live release answers, written site/line")
    listen: str = Field(
        "127.0.0.1:50051",
        description="host:port or unix:PATH; port 0 takes a free one. The transport is not "
        "encrypted: whoever can reach the address can ask, so the default is this machine only",
    )
    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=256,
        description="engine sessions of one thread each, so how many frames are worked on at "
        "once; the default is one for each core this process may use",
    )
    callers: int = Field(
        64,
        ge=1,
        le=1024,
        description="requests and streams served at once (they wait for a worker); further ones "
        "end with RESOURCE_EXHAUSTED",
    )
    spool: Path | None = Field(
        None, description="folder of the decisions; default .vision/serve/SITE/LINE/spool"
    )
    cache: Path | None = Field(
        None, description="folder of fetched bundles; default .vision/serve/SITE/LINE/cache"
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

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, value: str) -> str:
        return check_address(value, lowest_port=0)

    @field_validator("line")
    @classmethod
    def _line_is_a_key(cls, value: str) -> str:
        try:
            LineKey.parse(value)
        except InvalidInput as error:  # pydantic gathers ValueErrors only
            raise ValueError(str(error)) from error
        return value

    @property
    def line_key(self) -> LineKey:
        """The line as a key."""
        return LineKey.parse(self.line)

    @property
    def spool_folder(self) -> Path:
        """Where the spool is."""
        return self.spool or self._default_folder / "spool"

    @property
    def cache_folder(self) -> Path:
        """Where fetched bundles are."""
        return self.cache or self._default_folder / "cache"

    @property
    def _default_folder(self) -> Path:
        return Path(".vision/serve", self.line_key.site, self.line_key.line)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        host = self.listen.rpartition(":")[0].strip("[]")
        return self.listen.startswith("unix:") or host in ("127.0.0.1", "::1", "localhost")


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
