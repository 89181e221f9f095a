"""TLS for the server and its client: from files, followed when they change."""

from __future__ import annotations

import hashlib
import logging
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from store.errors import InvalidInput

_log = logging.getLogger(__name__)

_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", flags=re.DOTALL
)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def fingerprint(pem: bytes) -> str:
    """SHA-256 of the first certificate in a PEM file, in hexadecimal: what it is known by.

    Raises:
        InvalidInput: when there is none.
    """
    found = _CERTIFICATE.search(pem)
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0].decode()) if found else b""
    except ValueError:
        der = b""
    if not der:
        raise InvalidInput("there is no certificate: give a PEM file that begins with one")
    return hashlib.sha256(der).hexdigest()


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach ``host:port`` or ``unix:PATH``.

    >>> is_loopback("[::1]:50051"), is_loopback("unix:/run/vision.sock"), is_loopback("0.0.0.0:1")
    (True, True, False)
    """
    host = address.rpartition(":")[0].strip("[]")
    return address.startswith("unix:") or host in _LOOPBACK


@dataclass(frozen=True)
class ServerTls:
    """The files of a server's TLS, PEM.

    Attributes:
        certificate: With the chain up to, not including, the root.
        key: Its private key, not encrypted.
        client_ca: Who has signed the certificates of the clients; None: clients need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that read the files anew when they have changed.

        Raises:
            InvalidInput: naming every file that cannot be used.
        """
        follower = _Follower(self)
        return grpc.dynamic_ssl_server_credentials(
            follower.configuration(),
            follower.changed,  # type: ignore[arg-type]  # None means: as before
            self.client_ca is not None,
        )

    def context(self) -> ssl.SSLContext:
        """The same for a socket of Python's own, of the files as they are now.

        Raises:
            OSError: when they cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key, password=b"")
        if self.client_ca:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def read(self) -> _Pem:
        """The files' bytes, checked to be usable and to fit each other.

        Raises:
            InvalidInput: naming every fault; never what stands in a key.
        """
        faults: list[str] = []
        key, certificate = _read(self.key, faults), _read(self.certificate, faults)
        ca = _read(self.client_ca, faults) if self.client_ca else None
        if not faults:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            _try(
                lambda: context.load_cert_chain(self.certificate, self.key, password=b""),
                f"certificate {self.certificate} and key {self.key} cannot be used together",
                faults,
            )
            if self.client_ca:
                path = str(self.client_ca)
                _try(lambda: context.load_verify_locations(path), f"client CA {path}", faults)
        if faults:
            raise InvalidInput.listing("TLS cannot be set up:", faults)
        return _Pem(key, certificate, ca)


class _Pem(NamedTuple):
    key: bytes
    certificate: bytes
    client_ca: bytes | None


class _Follower:
    """Gives gRPC the new configuration at the first handshake after the files have changed.

    While the new files cannot be used (half of them is written yet), the old ones go on.
    """

    def __init__(self, files: ServerTls) -> None:
        self._files = files
        self._read = files.read()
        self._mark = self._marks()
        self._fault = ""

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        read = self._read
        return grpc.ssl_server_certificate_configuration(
            [(read.key, read.certificate)], read.client_ca
        )

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        mark = self._marks()
        if mark == self._mark:
            return None
        try:
            self._read = self._files.read()
        except InvalidInput as error:
            if str(error) != self._fault:
                self._fault = str(error)
                _log.error("TLS files stay as they were", extra={"error": self._fault})
            return None
        self._mark, self._fault = mark, ""
        _log.info("TLS files read anew", extra={"certificate": str(self._files.certificate)})
        return self.configuration()

    def _marks(self) -> list[tuple[int, int] | None]:
        files = (self._files.certificate, self._files.key, self._files.client_ca)
        return [_mark(path) for path in files if path]


@dataclass(frozen=True)
class ClientTls:
    """How a client connects and who it says it is.

    Attributes:
        ca: Who has signed the server's certificate; None: no TLS.
        certificate: The client's own, for a server that asks for one.
        key: Its private key.
        token_file: Holds the token, as `vision-serve token create` printed it.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None

    def channel(self, target: str, options: list[tuple[str, int]]) -> grpc.Channel:
        """A channel to ``host:port`` or ``unix:PATH``.

        Raises:
            InvalidInput: naming every file that cannot be used, or when a token would leave this
                machine in the clear.
        """
        faults: list[str] = []
        ca, key, certificate, token = (
            _read(path, faults) if path else None
            for path in (self.ca, self.key, self.certificate, self.token_file)
        )
        if (key is None) != (certificate is None):
            faults.append("--cert and --key belong together: give both")
        if key is not None and ca is None:
            faults.append("--cert and --key need --ca: without it the connection has no TLS")
        if token is not None and ca is None and not is_loopback(target):
            faults.append(f"a token would go to {target} in the clear: give --ca, too")
        if faults:
            raise InvalidInput.listing("the connection cannot be set up:", faults)
        if ca is None:
            channel = grpc.insecure_channel(target, options=options)
        else:
            credentials = grpc.ssl_channel_credentials(ca, key, certificate)
            channel = grpc.secure_channel(target, credentials, options=options)
        if token is None:
            return channel
        return grpc.intercept_channel(channel, _Send(token.decode(errors="replace").strip()))


class _Send(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Adds the token to each call."""

    def __init__(self, token: str) -> None:
        self._added = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:  # noqa: ANN401
        return continuation(self._with_token(details), request)

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:  # noqa: ANN401
        return continuation(self._with_token(details), requests)

    def _with_token(self, details: Any) -> Any:  # noqa: ANN401
        return details._replace(metadata=[*(details.metadata or ()), self._added])


def _read(path: Path, faults: list[str]) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        faults.append(f"{path} cannot be read: {error.strerror}")
        return b""


def _try(load: Callable[[], None], what: str, faults: list[str]) -> None:
    try:
        load()
    except (ssl.SSLError, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error.__class__.__name__
        faults.append(f"{what}: {why}")


def _mark(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None while it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
