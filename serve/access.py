"""Who may call what, and how often: asked for every call before its frame is looked at.

`Access.authorise` and `Access.limit` are plain functions of a few microseconds, for every front;
`AccessInterceptor` asks the first for plain grpcio. A client certificate, which only the method of
a call gets to see there, is asked for when a call comes without a token. `METHODS` is the one table
of methods; what it does not name is open to nobody.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn, cast

import grpc

from serve.limits import Limits, RateLimits
from serve.statuses import Problem
from serve.tokens import ANYWHERE, Grant, Role, TokenBook
from serve.transport import fingerprint
from store.errors import VisionError

_log = logging.getLogger(__name__)

_OPEN = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")
_INSPECTION, _OIP = "/inspection.v1.Inspection/", "/inference.GRPCInferenceService/"
METHODS: Mapping[str, Role | None] = {
    **dict.fromkeys(_OPEN),
    **dict.fromkeys(_OIP + name for name in ("ServerLive", "ServerReady", "ModelReady")),
    "/grpc.health.v1.Health/List": Role.READ,  # it names the lines
    _INSPECTION + "Inspect": Role.INSPECT,
    _INSPECTION + "InspectStream": Role.INSPECT,
    _INSPECTION + "GetServerInfo": Role.READ,
    _OIP + "ModelInfer": Role.INSPECT,
    _OIP + "ModelStreamInfer": Role.INSPECT,
    _OIP + "ServerMetadata": Role.READ,
    _OIP + "ModelMetadata": Role.READ,
    _OIP + "ModelConfig": Role.READ,
    _OIP + "ModelStatistics": Role.READ,
    _OIP + "RepositoryIndex": Role.READ,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Role.READ,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Role.READ,
}
"""The role that a method needs; None: open to all."""

EVERYBODY = Grant("", frozenset(Role), ANYWHERE)
"""What everybody has where no tokens file is set."""

Metadata = Iterable[tuple[str, str | bytes]]

_LOOK_S = 1.0
_BEARER = "bearer "

_UNAUTHENTICATED = Problem(
    grpc.StatusCode.UNAUTHENTICATED,
    "unauthenticated",
    "this server asks for a token: send the metadata `authorization: Bearer TOKEN`, or use a "
    "client certificate that it knows; what was sent, if anything, is unknown, expired or revoked",
)


class Access:
    """Rights and rate limits of one server; safe to call from many threads."""

    def __init__(
        self,
        tokens: Path | None,
        limits: Limits,
        on_refusal: Callable[[str], None] = lambda code: None,
    ) -> None:
        """Ask for the tokens of a file; None: for none.

        Args:
            tokens: The file; it is read anew when it changes (`look_again`).
            limits: How much an identity may ask for.
            on_refusal: Told the code of each refusal.

        Raises:
            VisionError: when the file cannot be read.
        """
        self._path, self._on_refusal = tokens, on_refusal
        self._rates = RateLimits(limits)
        self._mark = _mark(tokens)
        self._book = TokenBook.read(tokens) if tokens else None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look_often, name="tokens", daemon=True)

    def start(self) -> None:
        """Follow the changes of the file."""
        if self._path:
            self._thread.start()

    def stop(self) -> None:
        """Follow them no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def authorise(self, path: str, metadata: Metadata, certificate: str = "") -> Grant | Problem:
        """What the caller of a method may, or why it may not call it.

        Args:
            path: The method, such as ``/inspection.v1.Inspection/Inspect``.
            metadata: Keys in lower case, as gRPC has them.
            certificate: Fingerprint of the client's certificate, which counts when there is no
                token; empty without one.
        """
        if path not in METHODS:
            return self._refused(_denied(f"no role opens the method {path[:200]}"))
        role = METHODS[path]
        book = self._book
        if role is None or book is None:
            return EVERYBODY
        authorization = _authorization(metadata)
        if authorization is None:
            grant = book.find_certificate(certificate, time.time())
        else:
            grant = book.find(_bearer(authorization), time.time())
        if grant is None:
            return self._refused(_UNAUTHENTICATED)
        if role not in grant.roles:
            return self._refused(_denied(f"this caller has not the role {role}"))
        return grant

    def goes_by_certificate(self, metadata: Metadata) -> bool:
        """Whether a call with this metadata is judged by its client certificate."""
        book = self._book
        return book is not None and book.has_certificates and _authorization(metadata) is None

    def may_read(self, authorization: str, certificate: str = "") -> bool:
        """Whether an ``Authorization`` header, else a certificate, gives the role ``read``.

        Args:
            authorization: The header's value, empty without one.
            certificate: Fingerprint of the client's certificate, empty without one.
        """
        shown = [("authorization", authorization)] if authorization else []
        grant = self.authorise(_INSPECTION + "GetServerInfo", shown, certificate)
        return isinstance(grant, Grant)

    def covers(self, grant: Grant, line: str) -> Problem | None:
        """Why a caller may ask nothing of the line ``site/line``, or None.

        Asked for every frame, so that a token which is revoked ends an open stream's rights, too.
        """
        book = self._book
        if book is not None and not book.holds(grant, time.time()):
            return self._refused(_UNAUTHENTICATED)
        if grant.covers(line):
            return None
        return self._refused(_denied(f"the rights of this caller are not for line {line}"))

    def limit(self, grant: Grant, line: str, size_bytes: int) -> Problem | None:
        """Why a frame of a line is not taken from this caller now, or None.

        Args:
            grant: From `authorise`.
            line: ``site/line``, one that the server has.
            size_bytes: Of the payload.
        """
        if refused := self.covers(grant, line):
            return refused
        wait_s = self._rates.wait_s(grant.identity, line, size_bytes)
        if not wait_s:
            return None
        return self._refused(
            Problem(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "rate_limited",
                f"more than this caller may ask on line {line}: try again in {wait_s:.3f} s",
                retry_after_s=wait_s,
            )
        )

    def look_again(self) -> None:
        """Read the file when it has changed; while it cannot be read, the tokens stay as they were.

        A file that has gone is not taken for one without tokens, nor for no file at all.
        """
        mark = _mark(self._path)
        if self._path is None or mark == self._mark:
            return
        self._mark = mark
        try:
            self._book = TokenBook.read(self._path)
            _log.info("tokens read anew", extra={"file": str(self._path)})
        except VisionError as error:
            _log.error("tokens stay as they were", extra={"error": str(error)})

    def _look_often(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            self.look_again()

    def _refused(self, problem: Problem) -> Problem:
        self._on_refusal(problem.code)
        return problem


_grant: ContextVar[Grant] = ContextVar("grant", default=EVERYBODY)


def caller() -> Grant:
    """What the caller of this RPC may, as `AccessInterceptor` has found out."""
    return _grant.get()


class AccessInterceptor(grpc.ServerInterceptor):
    """Asks `Access.authorise` for every RPC of plain grpcio; its methods then ask `caller`."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The method's handler, or one that ends the call."""
        details = handler_call_details
        if self._access.goes_by_certificate(details.invocation_metadata or ()):
            handler = continuation(details)
            if handler is not None:
                return self._certified(handler, details.method)
        found = self._access.authorise(details.method, details.invocation_metadata or ())
        if isinstance(found, Grant):
            _grant.set(found)
            return continuation(details)
        return _refusal(found)

    def _certified(
        self, handler: grpc.RpcMethodHandler[Any, Any], method: str
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """The same handler for a caller whose certificate allows it."""
        kind = _kind(handler)
        answer = getattr(handler, kind)

        def asked(request: object, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - any answer
            found = self._access.authorise(method, (), _certificate(context))
            if isinstance(found, Problem):
                _refuse(context, found)
            _grant.set(found)
            return answer(request, context)

        make = getattr(grpc, f"{kind}_rpc_method_handler")
        certified: grpc.RpcMethodHandler[Any, Any] = make(
            asked, handler.request_deserializer, handler.response_serializer
        )
        return certified


def _kind(handler: grpc.RpcMethodHandler[Any, Any]) -> str:
    """The attribute of a handler that holds its method, such as ``unary_unary``."""
    asked = "stream" if handler.request_streaming else "unary"
    answered = "stream" if handler.response_streaming else "unary"
    return f"{asked}_{answered}"


def _certificate(context: grpc.ServicerContext) -> str:
    """Fingerprint of the certificate that a client has shown; empty without one."""
    shown = cast("Sequence[bytes]", context.auth_context().get("x509_pem_cert", ()))
    return fingerprint(shown[0]) if shown else ""


def _refuse(context: grpc.ServicerContext, problem: Problem) -> NoReturn:
    context.set_trailing_metadata((("error-code", problem.code),))
    context.abort(problem.status, problem.message)


def _refusal(problem: Problem) -> grpc.RpcMethodHandler[Any, Any]:
    """Ends a call of any kind without reading a request."""

    def refuse(_: object, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - never returns
        _refuse(context, problem)

    return grpc.stream_stream_rpc_method_handler(refuse)


def _denied(why: str) -> Problem:
    return Problem(grpc.StatusCode.PERMISSION_DENIED, "permission_denied", why)


def _authorization(metadata: Metadata) -> str | None:
    """The ``authorization`` metadata; None without any."""
    for key, value in metadata:
        if key == "authorization":
            return value if isinstance(value, str) else ""
    return None


def _bearer(authorization: str) -> str:
    """The token of an ``authorization``; empty when it holds none."""
    is_bearer = authorization[: len(_BEARER)].lower() == _BEARER
    return authorization[len(_BEARER) :] if is_bearer else ""


def _mark(path: Path | None) -> tuple[int, int, int] | None:
    """What changes when the file does; None without one."""
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size) if found else None
