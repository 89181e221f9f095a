"""What a server refuses to be started with: nothing is open by accident."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from serve.settings import MIB, Settings, load
from serve.transport import ServerTls
from store.errors import InvalidInput

TLS = {"tls_cert": "cert.pem", "tls_key": "key.pem"}


def given(tmp_path: Path, **more: object) -> Settings:
    return load({"store": str(tmp_path), "lines": "turin/press-3", **more})


@pytest.mark.parametrize(
    "more",
    [
        {"listen": "0.0.0.0:1"},
        {"listen": "0.0.0.0:1", **TLS},
        {"listen": "0.0.0.0:1", "tokens": "t.json"},
        {"listen": "[::]:1"},
        {"monitor": "0.0.0.0:1"},
        {"monitor": "0.0.0.0:1", **TLS},
    ],
)
def test_open_address_needs_tls_and_to_ask_who_calls(tmp_path: Path, more: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="other machines"):
        given(tmp_path, **more)
    given(tmp_path, **more, allow_insecure=True)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"listen": "unix:/run/vision.sock"},
        {"listen": "0.0.0.0:1", **TLS, "tokens": "t.json"},
        {"listen": "0.0.0.0:1", **TLS, "tls_client_ca": "ca.pem"},
        {"monitor": "0.0.0.0:1", **TLS, "tokens": "t.json"},
        {"monitor": ""},
    ],
)
def test_closed_or_guarded_address_is_taken(tmp_path: Path, more: dict[str, str]) -> None:
    given(tmp_path, **more)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"tls_cert": "c"}, "belong together"),
        ({"tls_key": "k"}, "belong together"),
        ({"tls_client_ca": "c"}, "needs tls_cert"),
        ({"monitor": "unix:/x"}, "host:port"),
        ({"monitor": "9464"}, "host:port"),
        ({"otlp": "127.0.0.1:4318"}, "otlp"),
        ({"trace_share": 1.5}, "trace_share"),
        ({"stuck_s": 0}, "stuck_s"),
        ({"requests_per_s": 0}, "requests_per_s"),
        ({"mib_per_s": -1}, "mib_per_s"),
    ],
)
def test_wrong_setting_is_named(tmp_path: Path, more: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        given(tmp_path, **more)


def test_traces_without_their_library_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for missing in ("opentelemetry.exporter.otlp.proto.http", "opentelemetry"):
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(InvalidInput, match=r"pip install '\.\[otel\]'"):
            given(tmp_path, otlp="http://127.0.0.1:4318/v1/traces")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        given(tmp_path, listen="0.0.0.0:1", monitor="0.0.0.0:2", tls_client_ca="ca.pem")
    for word in ("listen", "monitor", "tls_client_ca needs"):
        assert word in str(raised.value)


def test_limits_and_tls_are_what_was_given(tmp_path: Path) -> None:
    settings = given(tmp_path)
    assert settings.limits.is_off
    assert settings.tls is None
    settings = given(tmp_path, **TLS, tls_client_ca="ca.pem", mib_per_s=2)
    assert settings.tls == ServerTls(Path("cert.pem"), Path("key.pem"), Path("ca.pem"))
    assert (settings.limits.requests_per_s, settings.limits.bytes_per_s) == (math.inf, 2 * MIB)
