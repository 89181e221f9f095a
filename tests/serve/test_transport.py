"""TLS and mTLS over real sockets, and what is refused before there is one."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from serve.transport import ClientTls, ServerTls
from store.errors import InvalidInput
from tests.serve.certificates import Authority


@contextmanager
def listening(tls: ServerTls) -> Iterator[str]:
    """A health server with these files; its address."""
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_secure_port("127.0.0.1:0", tls.credentials())
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def asks(address: str, client: ClientTls) -> bool:
    """Whether a client is answered."""
    with client.channel(address, []) as channel:
        try:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError as error:
            if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.UNAVAILABLE:
                return False
            raise
        return True


def shown(address: str) -> str:
    """The name in the certificate that a server shows."""
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port))) as raw, context.wrap_socket(raw) as secured:
        data = secured.getpeercert(binary_form=True)
    assert data is not None
    return x509.load_der_x509_certificate(data).subject.rfc4514_string()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_client_that_knows_the_authority_is_answered(authority: Authority) -> None:
    with listening(ServerTls(*authority.sign("server"))) as address:
        assert asks(address, ClientTls(authority.ca))
        other = Authority(authority.folder, "somebody-else")
        assert not asks(address, ClientTls(other.ca))
        assert not asks(address, ClientTls())


def test_mutual_tls_asks_the_client_for_its_certificate(authority: Authority) -> None:
    other = Authority(authority.folder, "somebody-else")
    tls = ServerTls(*authority.sign("server"), client_ca=authority.ca)
    with listening(tls) as address:
        assert asks(address, ClientTls(authority.ca, *authority.sign("client")))
        assert not asks(address, ClientTls(authority.ca))
        assert not asks(address, ClientTls(authority.ca, *other.sign("stranger")))


def test_new_files_are_used_without_a_restart(authority: Authority) -> None:
    certificate, key = authority.sign("server")
    with listening(ServerTls(certificate, key)) as address:
        assert shown(address) == "CN=server"
        for path, source in zip((certificate, key), authority.sign("renewed"), strict=True):
            source.replace(path)
        assert shown(address) == "CN=renewed"


def test_half_written_files_leave_the_old_ones_in_force(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = authority.sign("server")
    with listening(ServerTls(certificate, key)) as address:
        new_certificate, new_key = authority.sign("renewed")
        new_certificate.replace(certificate)  # the key is still the old one
        with caplog.at_level(logging.ERROR):
            assert [shown(address) for _ in range(3)] == ["CN=server"] * 3
        assert caplog.text.count("stay as they were") == 1
        new_key.replace(key)
        assert shown(address) == "CN=renewed"


def test_every_unusable_file_is_named(authority: Authority, tmp_path: Path) -> None:
    missing = ServerTls(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    with pytest.raises(InvalidInput) as raised:
        missing.credentials()
    assert all(str(tmp_path / name) in str(raised.value) for name in "abc")
    certificate, _ = authority.sign("one")
    _, key = authority.sign("two")
    with pytest.raises(InvalidInput, match="together"):
        ServerTls(certificate, key).credentials()
    with pytest.raises(InvalidInput, match="client CA"):
        ServerTls(*authority.sign("one"), client_ca=key).credentials()


def test_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(authority: Authority) -> None:
    with pytest.raises(InvalidInput, match="together"):
        ServerTls(*authority.sign("server", password=b"secret")).credentials()


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"certificate": Path("c")}, "together"),
        ({"certificate": Path("c"), "key": Path("k")}, "need --ca"),
        ({"token_file": Path("t")}, "in the clear"),
        ({"ca": Path("missing")}, "cannot be read"),
    ],
)
def test_client_says_what_is_missing(tmp_path: Path, given: dict[str, Path], what: str) -> None:
    for name in "ckt":
        (tmp_path / name).write_text("x")
    files = {name: tmp_path / path for name, path in given.items()}
    with pytest.raises(InvalidInput, match=what):
        ClientTls(**files).channel("10.0.0.1:50051", [])


def test_token_may_go_to_this_machine_in_the_clear(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("vst_x\n")
    ClientTls(token_file=tmp_path / "token").channel("127.0.0.1:1", []).close()
    ClientTls(token_file=tmp_path / "token").channel("unix:/tmp/x", []).close()
