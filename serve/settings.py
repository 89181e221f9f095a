"""All settings of the server: one class, from the command line or ``VISION_SERVE_*``."""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import NoDecode, SettingsConfigDict

from inspection.engines.engine import NAMES
from serve.limits import Limits
from serve.record_settings import MAY_HOLD_SECRETS, RecordSettings
from serve.transport import ServerTls, is_loopback
from store.errors import InvalidInput
from store.keys import LineKey
from store.root import Store

MIB = 2**20

_HIGHEST_PORT = 65_535
_EXAMPLES = {
    "store": "--store .vision/store",
    "lines": "--line turin/press-3",
    "listen": "--listen 127.0.0.1:50051",
    "weights": """VISION_SERVE_WEIGHTS='{"turin/press-3/top": 2}'""",
}
_NO_JSON = re.compile(r'error parsing value for field "(\w+)"')


class Settings(RecordSettings):
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
        description="host:port or unix:PATH; port 0 takes a free one. Beyond this machine it "
        "needs `tls_cert`, and `tokens` or `tls_client_ca`: whoever reaches the address can ask",
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
        "once; the default is the cores this process may use: with more, the frames in work take "
        "turns on the cores and a burst of one camera delays the others",
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
    cache: Path | None = Field(
        None,
        description="folder of fetched bundles; default .vision/serve/SITE/LINE/cache; with "
        "several lines each has SITE/LINE below it",
    )
    cached_bundles: int = Field(
        3, ge=1, le=100, description="bundles kept in the cache, the live one included"
    )
    engines: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="engines that may answer, separated by commas (onnxruntime, openvino, "
        "onnxruntime-cuda, tensorrt); empty: any that is proven for the bundle. The one chosen for "
        "a bundle is remembered in the cache and stays while it is hardly slower than the best",
    )
    poll_s: float = Field(
        1.0, ge=0.05, le=60, description="pause between two looks at the ledger, seconds"
    )
    retry_s: float = Field(
        30.0, ge=0.05, le=3600, description="pause before a release that failed is tried again"
    )
    release_keys: Path | None = Field(
        None,
        description="file of the public keys (PEM, one after the other) of those who may release; "
        "then entries of the ledger count only when signed with one of them (docs/guides/"
        "releases.md). Default: every entry counts",
    )
    record_fallbacks: bool = Field(
        True,
        description="enter in the ledger what this server gave up, so that all servers of the line "
        "go back. Off for a server on trial, whose slow or broken host says nothing of a release",
    )
    probation_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="a release under which the process ends three times in a row, each within "
        "this time after taking it, is given up, seconds",
    )
    guard_frames: int = Field(
        200,
        ge=1,
        le=100_000,
        description="window over which a release's failures are counted, frames: long enough for "
        "a share, short enough to act within one shift of a slow line",
    )
    guard_errors: int = Field(
        5,
        ge=0,
        le=100_000,
        description="frames of the window on which a release's engine may fail; one more and the "
        "last good release answers",
    )
    guard_latency_ms: float | None = Field(
        None,
        gt=0,
        description="decoding and engine together slower than this make a frame slow, "
        "milliseconds. Default: no limit, since only the line knows its cycle",
    )
    guard_slow: int = Field(
        20,
        ge=0,
        le=100_000,
        description="frames of the window that may be slow; one more and the last good release "
        "answers",
    )
    shadow_frames: int = Field(
        8,
        ge=1,
        le=1024,
        description="frames that may wait for a shadow release, with their bytes; further ones "
        "are dropped and counted",
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
    monitor: str = Field(
        "127.0.0.1:9464",
        description="host:port of /metrics, /healthz/live and /healthz/ready over HTTP; empty: "
        "none. A taken address is logged and stops nothing. Beyond this machine the same is asked "
        "for as for `listen`, and TLS is spoken",
    )
    stuck_s: float = Field(
        60.0,
        ge=1,
        le=3600,
        description="a frame in work for longer shows that a worker is stuck, seconds: "
        "/healthz/live fails and systemd's watchdog is told no more, since only a restart helps",
    )
    otlp: str | None = Field(
        None,
        pattern=r"^https?://",
        description="traces go to this OTLP/HTTP address, such as http://127.0.0.1:4318/v1/traces "
        "(needs the extra `otel`); default: nowhere. Frames with a traceparent are sampled as it "
        "says",
    )
    trace_share: float = Field(
        0.0, ge=0, le=1, description="share of the frames without a traceparent that is traced"
    )
    tls_cert: Path | None = Field(
        None,
        description="certificate of this server with its chain, PEM; read anew when it changes, "
        "like the two below",
    )
    tls_key: Path | None = Field(None, description="its private key, PEM, not encrypted")
    tls_client_ca: Path | None = Field(
        None,
        description="CA certificates, PEM: clients need a certificate that one of them has signed",
    )
    tokens: Path | None = Field(
        None,
        description="file of `vision-serve token`: every call but health needs a token with the "
        "role and the line; read anew when it changes. Default: whoever connects may all",
    )
    allow_insecure: bool = Field(
        False,
        description="listen beyond this machine without TLS or without asking who calls: only "
        "where something else guards the network, such as a sidecar",
    )
    requests_per_s: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="frames a second that one token may send to one line (all without tokens are "
        "one); more end with RESOURCE_EXHAUSTED and when to try again. Default: no limit",
    )
    mib_per_s: float | None = Field(
        None, gt=0, le=1e6, description="the same for the bytes of the frames, MiB a second"
    )
    burst_s: float = Field(
        2.0,
        ge=0.1,
        le=600,
        description="both limits count over this time: so many seconds' worth may come at once",
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

    @field_validator("monitor")
    @classmethod
    def _monitor_is_an_address(cls, value: str) -> str:
        if value.startswith("unix:"):
            raise ValueError("expected host:port, such as 127.0.0.1:9464, or nothing")
        return check_address(value, lowest_port=0) if value else value

    @field_validator("lines", "engines", mode="before")
    @classmethod
    def _names_are_separated(cls, value: object) -> object:
        return [name for name in value.split(",") if name] if isinstance(value, str) else value

    @field_validator("engines")
    @classmethod
    def _engines_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in value if name not in NAMES]:
            raise ValueError(f"{unknown[0]!r} is no engine: there are {', '.join(NAMES)}")
        return value

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

    @model_validator(mode="after")
    def _security_is_whole(self) -> Self:
        faults = []
        if (self.tls_cert is None) != (self.tls_key is None):
            faults.append("tls_cert and tls_key belong together: give both")
        if self.tls_client_ca is not None and self.tls_cert is None:
            faults.append("tls_client_ca needs tls_cert and tls_key")
        asks_who = self.tokens is not None or self.tls_client_ca is not None
        for name in ("listen", "monitor"):
            address = getattr(self, name)
            if not address or is_loopback(address) or self.allow_insecure:
                continue
            if self.tls_cert is None or not asks_who:
                faults.append(
                    f"{name} {address!r} can be reached from other machines: give tls_cert and "
                    "tls_key, and tokens or tls_client_ca, or listen on 127.0.0.1. Where something "
                    "else guards the network, say so with allow_insecure"
                )
        if self.otlp and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
            faults.append("otlp needs another library: pip install '.[otel]' in a clone")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def tls(self) -> ServerTls | None:
        """The files to speak TLS with, or None."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return ServerTls(self.tls_cert, self.tls_key, self.tls_client_ca)

    @property
    def limits(self) -> Limits:
        """How much one caller may ask of one line."""
        return Limits(
            requests_per_s=self.requests_per_s or math.inf,
            bytes_per_s=(self.mib_per_s or math.inf) * MIB,
            burst_s=self.burst_s,
        )

    def spool_folder(self, line: LineKey) -> Path:
        """Where the spool of a line is."""
        return self._folder(self.spool, line, "spool")

    def cache_folder(self, line: LineKey) -> Path:
        """Where the fetched bundles of a line are."""
        return self._folder(self.cache, line, "cache")

    def kept_folder(self, line: LineKey) -> Path:
        """Where the kept frames of a line are."""
        if self.kept is None and self.spool is not None:
            spool = self.spool_folder(line)
            return spool.with_name(f"{spool.name}-kept")
        return self._folder(self.kept, line, "kept")

    def _folder(self, given: Path | None, line: LineKey, name: str) -> Path:
        if given is None:
            return Path(".vision/serve", line.site, line.line, name)
        return given if len(self.lines) == 1 else given / line.site / line.line

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.listen)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package is
        return False


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


def _example(name: str) -> str:
    return f", such as {_EXAMPLES[name]}" if name in _EXAMPLES else ""


def _fault(found: ErrorDetails) -> str:
    """One wrong setting in words, with an example where there is one."""
    name = ".".join(map(str, found["loc"]))
    example = _example(name)
    if found["type"] == "missing":
        return f"{name} is missing: give it{example}"
    why = found["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if unread := _NO_JSON.match(why):
        return f"VISION_SERVE_{unread[1].upper()} is not JSON{_example(unread[1])}"
    if not name:  # several together
        return why
    # Some of our own messages begin with the name and the value already.
    has_secret = name in MAY_HOLD_SECRETS
    given = found["input"]
    text = ", ".join(map(str, given)) if isinstance(given, tuple | list) else str(given)
    told = f"{name}: " if has_secret else f"{name} is {text!r}: "
    what = "" if why.startswith(f"{name} ") else told
    return f"{what}{why}{example}"
