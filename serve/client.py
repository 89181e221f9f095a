"""The client side of `inspection.v1`: files in, one row of plain values a file out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from serve.frame import MAX_NAME_CHARACTERS
from serve.protocol import inspection_v1_pb2 as pb
from serve.protocol.inspection_v1_pb2_grpc import InspectionStub
from serve.settings import check_address
from serve.transport import ClientTls
from store.errors import InvalidInput, Unavailable

Row = dict[str, object]

ACCEPTED = "JPEG, PNG, BMP and TIFF files are taken, by their suffixes"

_MOST_BYTES = 2**30
_PROBE = "/grpc.health.v1.Health/Check"
# What gRPC's core says of a connection that failed; it has no codes for it.
_HANDSHAKE = ("Tls handshake failed", "Hostname Verification Check failed")
_CLOSED = "Socket closed"
_CONNECT_S = _PROBE_S = 3.0


_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff"))


@dataclass(frozen=True)
class About:
    """What the client says of every frame it sends; the frame's id is the file's name."""

    camera: str = ""
    product: str = ""
    serial: str = ""
    line: str = ""


@dataclass
class Client:
    """A connection to one server; a context manager.

    Attributes:
        target: ``host:port`` or ``unix:PATH``.
        timeout_s: For one frame, and for the first contact.
        tls: Certificates and token; none by default.
    """

    target: str
    timeout_s: float = 30.0
    tls: ClientTls = field(default_factory=ClientTls)
    stub: InspectionStub = field(init=False)

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            InvalidInput: when the target is no address, or a file cannot be used.
            Unavailable: when no server answers there.
        """
        try:
            check_address(self.target, lowest_port=1)
        except ValueError as error:
            raise InvalidInput(
                f"--target {self.target!r} is no address: {error}, such as 127.0.0.1:50051"
            ) from error
        options = [("grpc.max_send_message_length", _MOST_BYTES)]
        self._channel = self.tls.channel(self.target, options)
        try:
            grpc.channel_ready_future(self._channel).result(timeout=min(self.timeout_s, _CONNECT_S))
        except grpc.FutureTimeoutError:
            why = self._why_not_connected()
            self._channel.close()
            raise Unavailable(why) from None
        self.stub = InspectionStub(self._channel)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect."""
        self._channel.close()

    def _why_not_connected(self) -> str:
        """What gRPC says of the connection, which only a call is told, with what to do."""
        try:
            probe: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_PROBE)
            probe(b"", timeout=_PROBE_S)
            said = ""
        except grpc.RpcError as error:
            said = transport_error(error)
        if "WRONG_VERSION_NUMBER" in said:
            return f"{self.target} does not speak TLS: leave --ca out"
        if any(sign in said for sign in _HANDSHAKE):
            why = said.rpartition("OPENSSL_internal:")[2].rpartition("UNAUTHENTICATED: ")[2]
            why = why.removesuffix(": OK").removesuffix(".")
            return (
                f"the TLS handshake with {self.target} failed ({why}): check that --ca holds the "
                "certificate of who signed the server's, and that the server's is for the host "
                "that --target names"
            )
        if _CLOSED in said and self.tls.ca is not None:
            return (
                f"{self.target} ended the TLS handshake: it probably asks for a client "
                "certificate that its CA has signed; check --cert and --key"
            )
        if _CLOSED in said:
            return (
                f"{self.target} ended the connection: it probably speaks TLS and needs --ca, and "
                "perhaps --cert and --key"
            )
        return (
            f"no server answers at {self.target}: start one with "
            "`vision-serve run --store STORE --line SITE/LINE`, or give its --target"
        )

    def info(self, line: str = "") -> pb.ServerInfo:
        """What the server runs on a line; empty: its only one.

        Raises:
            Unavailable: when the server does not say.
        """
        try:
            return self.stub.GetServerInfo(pb.ServerInfoRequest(line=line), timeout=self.timeout_s)
        except grpc.RpcError as error:
            raise Unavailable(f"{self.target}: {transport_error(error)}") from error

    def inspect_files(
        self, paths: Iterable[Path], about: About, parallel: int = 1
    ) -> Iterator[Row]:
        """One row for each file, in order.

        A row holds ``file``, ``verdict``, ``score``, ``reasons``, ``class_scores``, ``release``,
        ``frame_id``, ``decision`` and ``latency_ms`` (as this client measured it), or ``file``,
        ``error``, ``code`` and ``status``, with ``frame_id`` and ``decision`` where the server has
        a row of it. ``score`` is None when nobody looked at the frame.
        """
        pool = ThreadPoolExecutor(parallel)
        try:
            yield from pool.map(lambda path: self._inspect_file(path, about), paths)
        finally:  # also when the reader has had enough
            pool.shutdown(cancel_futures=True)

    def _inspect_file(self, path: Path, about: About) -> Row:
        try:
            data = path.read_bytes()
        except OSError as error:
            message = f"cannot be read: {error.strerror}"
            return {"file": str(path), "error": message, "code": "file", "status": "NOT_SENT"}
        frame = pb.Frame(
            encoded=data,
            frame_id=frame_id_of(path),
            camera=about.camera,
            product=about.product,
            serial=about.serial,
            line=about.line,
        )
        started = time.perf_counter()
        try:
            answer = self.stub.Inspect(frame, timeout=self.timeout_s)
        except grpc.RpcError as error:
            return {"file": str(path), **_error_row(error)}
        latency_ms = (time.perf_counter() - started) * 1000
        return {"file": str(path), **_result_row(answer), "latency_ms": round(latency_ms, 3)}


def frame_id_of(path: Path) -> str:
    """The name of a file as a frame id, so that its row in the spool can be found.

    >>> frame_id_of(Path("frames/left-0001.png"))
    'left-0001.png'
    """
    printable = (c if c.isprintable() else "?" for c in path.name)  # also bytes that are no UTF-8
    return "".join(printable)[-MAX_NAME_CHARACTERS:]


def files_below(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The given files, and every image file below the given folders, sorted.

    Returns:
        What to send, and what was left out below the folders because its suffix is that of no
        image (hidden files are not counted).

    Raises:
        InvalidInput: naming every path that does not exist, or when there is no image file.
    """
    found: list[Path] = []
    skipped: list[Path] = []
    missing = []
    for path in paths:
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.is_file())
            for file in below:
                if not _is_hidden(file.relative_to(path)):
                    (found if file.suffix.lower() in _SUFFIXES else skipped).append(file)
        elif path.exists():
            found.append(path)
        else:
            missing.append(str(path))
    if missing:
        raise InvalidInput.listing("there is no such file or folder:", missing)
    if not found and skipped:
        raise InvalidInput(f"there is no image file among {len(skipped)} files: {ACCEPTED}")
    return found, skipped


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _result_row(answer: pb.Answer) -> Row:
    result, decision = answer.result, answer.decision
    return {
        "verdict": pb.Verdict.Name(result.verdict),
        "score": result.score if result.HasField("score") else None,
        "reasons": [_reason_row(reason) for reason in result.reasons],
        "class_scores": {row.name: row.score for row in result.class_scores},
        "release": result.release,
        "engine": result.engine,
        "frame_id": answer.frame_id,
        "decision": f"{decision.host}/{decision.boot}/{decision.sequence}",
    }


def _reason_row(reason: pb.Reason) -> Row:
    row: Row = {
        "code": reason.code,
        "name": reason.name,
        "value": reason.value,
        "limit": reason.limit,
    }
    return row | {axis: getattr(reason, axis) for axis in ("x", "y") if reason.HasField(axis)}


def _error_row(error: grpc.RpcError) -> Row:
    assert isinstance(error, grpc.Call)  # what a stub raises is both
    metadata = dict(error.trailing_metadata() or ())
    row: Row = {
        "error": transport_error(error),
        "code": str(metadata.get("error-code", "transport")),
        "status": error.code().name,
    }
    decision = str(metadata.get("decision-id", ""))
    if decision and not decision.endswith("/0"):  # without a row there is no decision
        frame_id = metadata.get("frame-id-bin", b"")
        assert isinstance(frame_id, bytes)
        row |= {"frame_id": frame_id.decode(), "decision": decision}
    return row


def transport_error(error: grpc.RpcError) -> str:
    """What the server, or gRPC itself, says of a call that failed, with the options that help."""
    assert isinstance(error, grpc.Call)
    said = error.details() or error.code().name
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED:
            return (
                "the server asks who calls: give --token-file, or --cert and --key of a "
                "certificate that it knows; what was given, if anything, is unknown, expired or "
                "revoked"
            )
        case grpc.StatusCode.PERMISSION_DENIED:
            return f"{said} (that of --token-file, or of --cert)"
        case grpc.StatusCode.INVALID_ARGUMENT:
            return said.replace("name one in `line`", "name one with --line")
        case _:
            return said
