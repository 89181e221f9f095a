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

from serve.protocol import inspection_v1_pb2 as pb
from serve.protocol.inspection_v1_pb2_grpc import InspectionStub
from serve.settings import check_address
from serve.transport import ClientTls
from store.errors import InvalidInput, Unavailable

Row = dict[str, object]

ACCEPTED = "JPEG, PNG, BMP and TIFF files are taken, by their suffixes"

_MOST_BYTES = 2**30
_CONNECT_S = 3.0


_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff"))


@dataclass(frozen=True)
class About:
    """What the client says of every frame it sends."""

    camera: str = ""
    product: str = ""


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
            self._channel.close()
            raise Unavailable(
                f"no server answers at {self.target}: start one with "
                "`vision-serve run --store STORE --line SITE/LINE`, or give its --target; one that "
                "speaks TLS needs --ca, and perhaps --cert and --key"
            ) from None
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

    def info(self) -> pb.ServerInfo:
        """What the server runs.

        Raises:
            Unavailable: when the server does not say.
        """
        try:
            return self.stub.GetServerInfo(pb.ServerInfoRequest(), timeout=self.timeout_s)
        except grpc.RpcError as error:
            raise Unavailable(f"{self.target}: {transport_error(error)}") from error

    def inspect_files(
        self, paths: Iterable[Path], about: About, parallel: int = 1
    ) -> Iterator[Row]:
        """One row for each file, in order.

        A row holds ``file``, ``verdict``, ``score``, ``reasons``, ``class_scores``, ``release``,
        ``frame_id``, ``decision`` and ``latency_ms`` (as this client measured it), or ``file``,
        ``error``, ``code`` and ``status``.
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
        frame = pb.Frame(encoded=data, camera=about.camera, product=about.product)
        started = time.perf_counter()
        try:
            answer = self.stub.Inspect(frame, timeout=self.timeout_s)
        except grpc.RpcError as error:
            return {"file": str(path), **_error_row(error)}
        latency_ms = (time.perf_counter() - started) * 1000
        return {"file": str(path), **_result_row(answer), "latency_ms": round(latency_ms, 3)}


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
        "score": result.score,
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
    return {
        "error": transport_error(error),
        "code": str(metadata.get("error-code", "transport")),
        "status": error.code().name,
    }


def transport_error(error: grpc.RpcError) -> str:
    """What the server, or gRPC itself, says of a call that failed."""
    assert isinstance(error, grpc.Call)
    return error.details() or error.code().name
