"""The tokens file of a host: who may do what on which line. Holds hashes, never a token.

A client shows a token, or with mTLS only its certificate, which the file names by its fingerprint.

A token is ``vst_ID_SECRET``: the id finds its row, the secret of 256 random bits is known to its
holder only. The file keeps a salt and SHA-256 of salt and secret; a slow hash, as passwords need,
would add nothing to 256 random bits and would cost a frame its latency.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from store.errors import Conflict, InvalidInput, NotFound, Unavailable
from store.keys import LineKey

PREFIX = "vst_"
ANYWHERE = "*"
_ID_BYTES, _SECRET_BYTES, _SALT_BYTES = 6, 32, 16


class Role(StrEnum):
    """What a token may be for; `INCLUDES` says which roles hold others."""

    INSPECT = "inspect"
    READ = "read"
    PROMOTE = "promote"
    ADMIN = "admin"


INCLUDES: Mapping[Role, frozenset[Role]] = {
    Role.INSPECT: frozenset({Role.INSPECT}),
    Role.READ: frozenset({Role.READ}),
    Role.PROMOTE: frozenset({Role.PROMOTE, Role.READ}),
    Role.ADMIN: frozenset(Role),
}


class TokenRow(BaseModel):
    """One token or client certificate, as the file keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: str = Field(max_length=100, description="whose it is, for people")
    scope: str = Field(description="site/line, site, or * for every line")
    roles: tuple[Role, ...] = Field(min_length=1)
    salt: str | None = Field(None, pattern=r"^[0-9a-f]{32}$")
    hash: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    certificate_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    created_utc: datetime
    expires_utc: datetime | None = None

    @field_validator("scope")
    @classmethod
    def _scope_names_lines(cls, value: str) -> str:
        return check_scope(value)

    @field_validator("created_utc", "expires_utc")
    @classmethod
    def _time_has_a_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time needs its zone, such as 2027-01-31T00:00:00Z")
        return value

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        is_token = self.salt is not None and self.hash is not None
        is_certificate = self.certificate_sha256 is not None
        if is_token == is_certificate or (self.salt is None) != (self.hash is None):
            raise ValueError("give either salt and hash, or certificate_sha256")
        return self


_ROWS = TypeAdapter(tuple[TokenRow, ...])


def check_scope(value: str) -> str:
    """Return `value` when it is ``site/line``, ``site`` or ``*``.

    Raises:
        ValueError: with the rule, when it is none of these.
    """
    if value != ANYWHERE:
        try:
            LineKey.parse(value if "/" in value else f"{value}/line")
        except InvalidInput as error:
            raise ValueError(f"scope {value!r}: expected site/line, site or * ({error})") from error
    return value


@dataclass(frozen=True)
class Grant:
    """Who calls, and what they may.

    Attributes:
        identity: The id of the token or certificate; empty where no tokens are asked for.
        roles: What the caller may do.
        scope: ``site/line``, ``site`` or ``*``.
    """

    identity: str
    roles: frozenset[Role]
    scope: str

    def covers(self, line: str) -> bool:
        """Whether it holds for the line ``site/line``.

        >>> grant = Grant("", frozenset(), "turin")
        >>> grant.covers("turin/press-3"), grant.covers("turin-2/press-3")
        (True, False)
        """
        return self.scope in (ANYWHERE, line) or line.startswith(f"{self.scope}/")


@dataclass(frozen=True)
class _Known:
    salt: bytes  # empty with `digest` for a certificate
    digest: bytes
    expires: float  # seconds since 1970; infinite: never
    grant: Grant


class TokenBook:
    """The tokens of a file at one time; quick to ask, from any thread."""

    def __init__(self, rows: Sequence[TokenRow]) -> None:
        self._known = {row.id: _known(row) for row in rows}
        self._certificates = {
            row.certificate_sha256: self._known[row.id] for row in rows if row.certificate_sha256
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        """The tokens of a file.

        Raises:
            Unavailable: when it cannot be read, or others on the host may change it.
            InvalidInput: naming every fault.
        """
        return cls(rows(path, must_exist=True))

    def find(self, token: str, now: float) -> Grant | None:
        """What a token grants; None when nobody knows it, or it has expired.

        Args:
            token: As the client gives it.
            now: Seconds since 1970.
        """
        prefix, _, rest = token.partition("_")
        name, _, secret = rest.partition("_")
        known = self._known.get(name)
        if known is None or not known.digest or f"{prefix}_" != PREFIX:
            return None
        digest = hashlib.sha256(known.salt + secret.encode()).digest()
        if not hmac.compare_digest(digest, known.digest) or now >= known.expires:
            return None
        return known.grant

    @property
    def has_certificates(self) -> bool:
        """Whether a certificate can stand for a token."""
        return bool(self._certificates)

    def find_certificate(self, sha256: str, now: float) -> Grant | None:
        """What a client certificate grants; None when it is not named, or the row has expired.

        Args:
            sha256: Its fingerprint (`serve.transport.fingerprint`).
            now: Seconds since 1970.
        """
        known = self._certificates.get(sha256)
        return known.grant if known and now < known.expires else None

    def holds(self, grant: Grant, now: float) -> bool:
        """Whether a grant is still given: not revoked, changed or expired meanwhile."""
        known = self._known.get(grant.identity)
        return known is not None and now < known.expires and known.grant == grant


def _known(row: TokenRow) -> _Known:
    roles = frozenset().union(*(INCLUDES[role] for role in row.roles))
    expires = row.expires_utc.timestamp() if row.expires_utc else float("inf")
    grant = Grant(row.id, roles, row.scope)
    return _Known(bytes.fromhex(row.salt or ""), bytes.fromhex(row.hash or ""), expires, grant)


def rows(path: Path, *, must_exist: bool = False) -> tuple[TokenRow, ...]:
    """The rows of a tokens file, none when it does not exist yet.

    Raises:
        Unavailable: when it cannot be read, or others on the host may change it.
        InvalidInput: naming every fault.
    """
    try:
        with open(path, "rb") as stream:
            mode, data = os.fstat(stream.fileno()).st_mode, stream.read()
    except FileNotFoundError:
        if not must_exist:
            return ()
        raise Unavailable(
            f"there is no tokens file {path}: make one with `vision-serve token create`"
        ) from None
    except OSError as error:
        raise Unavailable(f"tokens file {path} cannot be read: {error.strerror}") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unavailable(f"others may change the tokens file {path}: chmod go-w it")
    try:
        return _ROWS.validate_json(data)
    except ValidationError as error:
        # Without the values: what stands in the wrong place may be a secret.
        faults = [f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors()]
        raise InvalidInput.listing(f"tokens file {path} is damaged:", faults) from error


def create(
    path: Path,
    scope: str,
    roles: Sequence[Role],
    name: str = "",
    expires: datetime | None = None,
) -> str:
    """Add a token to the file, which is made when needed.

    Returns:
        The token. It is kept nowhere.

    Raises:
        InvalidInput: when the scope is none, no role is given, or the file is damaged.
        Unavailable: when the file cannot be written.
    """
    secret, salt = secrets.token_urlsafe(_SECRET_BYTES), secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.sha256(salt + secret.encode()).hexdigest()
    token_id = _add(path, scope, roles, name, expires, salt=salt.hex(), hash=digest)
    return f"{PREFIX}{token_id}_{secret}"


def admit(
    path: Path,
    certificate_sha256: str,
    scope: str,
    roles: Sequence[Role],
    name: str = "",
    expires: datetime | None = None,
) -> str:
    """Add a client certificate, by its fingerprint, to the file, which is made when needed.

    Returns:
        The id of its row.

    Raises:
        Conflict: when the file names it already.
        InvalidInput: when the scope is none, no role is given, or the file is damaged.
        Unavailable: when the file cannot be written.
    """
    return _add(path, scope, roles, name, expires, certificate_sha256=certificate_sha256)


def _add(
    path: Path,
    scope: str,
    roles: Sequence[Role],
    name: str,
    expires: datetime | None,
    **shown: str,
) -> str:
    """Add the row of what a client shows; gives its id."""
    try:
        row = TokenRow.model_validate(
            {
                "id": secrets.token_hex(_ID_BYTES),
                "name": name,
                "scope": scope,
                "roles": tuple(dict.fromkeys(roles)),
                "created_utc": datetime.now(UTC).replace(microsecond=0),
                "expires_utc": expires,
                **shown,
            }
        )
    except ValidationError as error:
        faults = [fault["msg"].removeprefix("Value error, ") for fault in error.errors()]
        raise InvalidInput.listing("no token was made:", faults) from error
    with _changing(path) as known:
        certificate = row.certificate_sha256
        for each in known:
            if certificate and each.certificate_sha256 == certificate:
                raise Conflict(
                    f"tokens file {path} names this certificate already, as {each.id}: revoke that "
                    "first"
                )
        _write(path, (*known, row))
    return row.id


def revoke(path: Path, token_id: str) -> None:
    """Take a token out of the file.

    Raises:
        NotFound: when it is not there.
        Unavailable: when the file cannot be written.
    """
    with _changing(path) as known:
        kept = tuple(row for row in known if row.id != token_id)
        if len(kept) == len(known):
            raise NotFound(f"tokens file {path} holds no token {token_id}; see `token list`")
        _write(path, kept)


@contextmanager
def _changing(path: Path) -> Iterator[tuple[TokenRow, ...]]:
    """The rows, while nobody else changes them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"tokens file {path} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield rows(path)
    finally:
        os.close(lock)


def _write(path: Path, known: Sequence[TokenRow]) -> None:
    """Replace the file in one step; its owner and mode stay what they were."""
    text = json.dumps([row.model_dump(mode="json", exclude_none=True) for row in known], indent=2)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        before = path.stat() if path.exists() else None
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as stream:
            stream.write(f"{text}\n")
            stream.flush()
            os.fsync(descriptor)
            if before:
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
                os.fchown(descriptor, before.st_uid, before.st_gid)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Unavailable(f"tokens file {path} cannot be written: {error.strerror}") from error
