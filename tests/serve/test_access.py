"""Rights over a real server: every method, every role; limits; a file that changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from serve import tokens
from serve.access import EVERYBODY, METHODS, Access, AccessInterceptor, caller
from serve.limits import Limits
from serve.protocol import inspection_v1_pb2 as pb
from serve.protocol import open_inference_pb2
from serve.protocol.inspection_v1_pb2_grpc import InspectionStub
from serve.server import Server
from serve.statuses import Problem
from serve.tokens import Grant, Role
from serve.transport import ClientTls, fingerprint
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.certificates import Authority
from tests.serve.running import code_of, promote, settings_for

LINE = "turin/press-3"
OPEN = [path for path, role in METHODS.items() if role is None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.json"
    tokens.create(path, LINE, [Role.READ], "first")
    return path


Metadata = tuple[tuple[str, str | bytes], ...]
Unary: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"
Stream: TypeAlias = "grpc.StreamStreamMultiCallable[bytes, bytes]"


def bearer(token: str) -> Metadata:
    return (("user-agent", "x"), ("authorization", f"Bearer {token}"))


def granted(access: Access, path: Path) -> Grant:
    """What a new token for `LINE` grants."""
    token = tokens.create(path, LINE, [Role.INSPECT])
    access.look_again()
    grant = access.authorise("/inspection.v1.Inspection/Inspect", bearer(token))
    assert isinstance(grant, Grant)
    return grant


def code(found: Grant | Problem | None) -> str:
    assert isinstance(found, Problem)
    return found.code


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("role", Role)
def test_every_method_asks_for_its_role(path: Path, method: str, role: Role) -> None:
    access = Access(path, Limits())
    needed = METHODS[method]
    token = tokens.create(path, LINE, [role])
    access.look_again()
    found = access.authorise(method, bearer(token))
    if needed is None or needed in tokens.INCLUDES[role]:
        assert isinstance(found, Grant)
    else:
        assert code(found) == "permission_denied"
    anonymous = access.authorise(method, [])
    assert isinstance(anonymous, Grant) if needed is None else code(anonymous) == "unauthenticated"


def test_only_health_is_open() -> None:
    assert all("Health/" in path or path.endswith(("Live", "Ready")) for path in OPEN)


@pytest.mark.parametrize("method", ["/inspection.v1.Inspection/Delete", "", "/x/y"])
def test_method_that_is_in_no_table_is_open_to_nobody(path: Path, method: str) -> None:
    token = tokens.create(path, "*", [Role.ADMIN])
    assert code(Access(path, Limits()).authorise(method, bearer(token))) == "permission_denied"
    assert code(Access(None, Limits()).authorise(method, [])) == "permission_denied"


def test_without_a_file_everybody_may() -> None:
    access = Access(None, Limits())
    for method in METHODS:
        assert access.authorise(method, []) == EVERYBODY
    assert access.limit(EVERYBODY, LINE, 10**9) is None


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", "vst_a_b")],
        [("authorization", "Basic abc")],
        [("authorization", b"Bearer x")],
        [("other", "Bearer x")],
        [("authorization", "Bearer ")],
    ],
)
def test_no_other_metadata_is_a_token(path: Path, metadata: list[tuple[str, str | bytes]]) -> None:
    found = Access(path, Limits()).authorise("/inspection.v1.Inspection/Inspect", metadata)
    assert code(found) == "unauthenticated"


def test_token_of_another_line_is_refused(path: Path) -> None:
    refusals: list[str] = []
    access = Access(path, Limits(), refusals.append)
    grant = granted(access, path)
    assert access.limit(grant, LINE, 1) is None
    assert code(access.limit(grant, "turin/press-4", 1)) == "permission_denied"
    assert refusals == ["permission_denied"]


def test_too_many_are_told_when_to_come_again(path: Path) -> None:
    access = Access(path, Limits(requests_per_s=0.001, burst_s=1))
    grant = granted(access, path)
    assert access.limit(grant, LINE, 1) is None
    found = access.limit(grant, LINE, 1)
    assert isinstance(found, Problem)
    assert (found.status, found.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited")
    assert found.retry_after_s > 0


def test_change_of_the_file_is_followed(path: Path) -> None:
    access = Access(path, Limits())
    method = "/inspection.v1.Inspection/GetServerInfo"
    token = tokens.create(path, LINE, [Role.READ])
    assert code(access.authorise(method, bearer(token))) == "unauthenticated"
    access.look_again()
    assert isinstance(access.authorise(method, bearer(token)), Grant)
    tokens.revoke(path, token.split("_")[1])
    access.look_again()
    assert code(access.authorise(method, bearer(token))) == "unauthenticated"


def test_revoked_token_ends_the_rights_of_an_open_stream(path: Path) -> None:
    access = Access(path, Limits())
    grant = granted(access, path)
    assert access.limit(grant, LINE, 1) is None
    tokens.revoke(path, grant.identity)
    access.look_again()
    assert code(access.limit(grant, LINE, 1)) == "unauthenticated"


@pytest.mark.parametrize("damage", ["delete", "damage", "expose"])
def test_file_that_cannot_be_read_changes_no_right(path: Path, damage: str) -> None:
    token = tokens.create(path, LINE, [Role.READ])
    access = Access(path, Limits())
    match damage:
        case "delete":
            path.unlink()
        case "damage":
            path.write_text("[")
        case "expose":
            os.chmod(path, 0o666)
            os.utime(path, ns=(0, 0))
    access.look_again()
    method = "/inspection.v1.Inspection/GetServerInfo"
    assert isinstance(access.authorise(method, bearer(token)), Grant)
    assert code(access.authorise(method, [])) == "unauthenticated"


def test_follows_the_file_in_the_background(path: Path) -> None:
    access = Access(path, Limits())
    access.start()
    token = tokens.create(path, LINE, [Role.READ])
    while not access.may_read(f"Bearer {token}"):
        pass
    access.stop()


class Echo(grpc.GenericRpcHandler):
    """Answers any method of any kind with the identity of its caller."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        def identity() -> bytes:
            return caller().identity.encode()

        if details.method.endswith("Stream"):
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, _: (identity() for _ in requests)
            )
        return grpc.unary_unary_rpc_method_handler(lambda *_: identity())


@pytest.fixture
def channel(path: Path) -> Iterator[grpc.Channel]:
    access = Access(path, Limits())
    server = grpc.server(ThreadPoolExecutor(4), interceptors=[AccessInterceptor(access)])
    server.add_generic_rpc_handlers([Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(None).wait()


def test_guard_ends_calls_of_both_kinds_with_a_status(channel: grpc.Channel) -> None:
    unary: Unary = channel.unary_unary("/inspection.v1.Inspection/Inspect")
    with pytest.raises(grpc.RpcError) as raised:
        unary(b"", timeout=10)
    assert isinstance(raised.value, grpc.Call)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert dict(raised.value.trailing_metadata() or ())["error-code"] == "unauthenticated"
    stream: Stream = channel.stream_stream("/inspection.v1.Inspection/InspectStream")
    with pytest.raises(grpc.RpcError) as raised:
        next(stream(iter([b""]), timeout=10))
    assert isinstance(raised.value, grpc.Call)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    unknown: Unary = channel.unary_unary("/inspection.v1.Inspection/Unknown")
    with pytest.raises(grpc.RpcError) as raised:
        unknown(b"", timeout=10)
    assert isinstance(raised.value, grpc.Call)
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_guard_tells_the_method_who_calls(path: Path) -> None:
    first, second = (tokens.create(path, LINE, [Role.INSPECT]) for _ in range(2))
    access = Access(path, Limits())
    server = grpc.server(ThreadPoolExecutor(4), interceptors=[AccessInterceptor(access)])
    server.add_generic_rpc_handlers([Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        unary: Unary = channel.unary_unary("/inspection.v1.Inspection/Inspect")
        stream: Stream = channel.stream_stream("/inspection.v1.Inspection/InspectStream")
        for token in (first, second) * 20:
            identity = token.split("_")[1].encode()
            assert unary(b"", metadata=bearer(token)[1:]) == identity
            assert list(stream(iter([b""] * 3), metadata=bearer(token)[1:])) == [identity] * 3
        check: Unary = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"") == b""
    server.stop(None).wait()


def test_table_names_the_methods_that_exist() -> None:
    """A method that is served and not named would be open to nobody."""
    for file in (pb, open_inference_pb2, health_pb2, reflection_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            prefix = f"/{service.full_name}/"
            named = {path.removeprefix(prefix) for path in METHODS if path.startswith(prefix)}
            served = {method.name for method in service.methods}
            assert served <= named, service.full_name


def ended(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """Status and code with which a call ends."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert isinstance(raised.value, grpc.Call)
    return raised.value.code(), code_of(raised.value)


def test_a_certificate_stands_for_a_token(tmp_path: Path, store: Store) -> None:
    promote(store)
    authority, path = Authority(tmp_path), tmp_path / "tokens.json"
    (server_certificate, server_key), stranger = (
        authority.sign("server"),
        authority.sign("stranger"),
    )
    plc, reader = authority.sign("plc"), authority.sign("reader")
    plc_id = tokens.admit(path, fingerprint(plc[0].read_bytes()), LINE, [Role.INSPECT])
    tokens.admit(path, fingerprint(reader[0].read_bytes()), "turin/press-4", [Role.READ])
    tls = {
        "tls_cert": server_certificate,
        "tls_key": server_key,
        "tls_client_ca": authority.ca,
    }
    server = Server(settings_for(tmp_path, **tls, tokens=path))
    address = server.start()

    def connected(files: tuple[Path, Path], token: Path | None = None) -> grpc.Channel:
        return ClientTls(authority.ca, *files, token).channel(address, [])

    denied = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
    unknown = (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
    asked = pb.Frame(encoded=frame(0.9))
    try:
        with connected(stranger) as channel:
            stub = InspectionStub(channel)
            assert ended(lambda: stub.Inspect(asked, timeout=30)) == unknown
            assert ended(lambda: next(stub.InspectStream(iter([asked]), timeout=30))) == unknown
            health = health_pb2_grpc.HealthStub(channel)
            assert health.Check(health_pb2.HealthCheckRequest(), timeout=30).status == 1
        with connected(reader) as channel:
            stub = InspectionStub(channel)
            assert ended(lambda: stub.Inspect(asked, timeout=30)) == denied
            info = pb.ServerInfoRequest()
            assert ended(lambda: stub.GetServerInfo(info, timeout=30)) == denied  # another line
        wrong = tmp_path / "wrong"
        wrong.write_text("vst_000000000000_x")
        with connected(plc, wrong) as channel:  # who shows a token is judged by that
            stub = InspectionStub(channel)
            assert ended(lambda: stub.Inspect(asked, timeout=30)) == unknown
        with connected(plc) as channel:
            stub = InspectionStub(channel)
            assert stub.Inspect(asked, timeout=30).result.release == f"{LINE}@1"
            info = pb.ServerInfoRequest()
            assert ended(lambda: stub.GetServerInfo(info, timeout=30)) == denied  # not its role
            requests: SimpleQueue[pb.Frame] = SimpleQueue()
            answers = stub.InspectStream(iter(requests.get, None), timeout=60)
            requests.put(asked)
            assert next(answers).result.release == f"{LINE}@1"
            tokens.revoke(path, plc_id)
            server.operations.access.look_again()
            requests.put(asked)
            assert next(answers).error.code == "unauthenticated"
            answers.cancel()
            assert ended(lambda: stub.Inspect(asked, timeout=30)) == unknown
    finally:
        server.drain()


def test_a_certificate_without_mutual_tls_is_nobody(path: Path) -> None:
    tokens.admit(path, "0" * 64, LINE, [Role.READ])
    access = Access(path, Limits())
    assert access.goes_by_certificate([])
    assert not access.goes_by_certificate([("authorization", "Bearer x")])
    method = "/inspection.v1.Inspection/GetServerInfo"
    assert code(access.authorise(method, [])) == "unauthenticated"
    assert isinstance(access.authorise(method, [], "0" * 64), Grant)
    assert code(access.authorise(method, [("authorization", "")], "0" * 64)) == "unauthenticated"
