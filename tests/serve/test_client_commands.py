"""`inspect`, `bench` and `info` where they meet rights, several lines, lateness and TLS."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from serve import client, tokens
from serve.cli import main
from serve.client import frame_id_of
from serve.server import Server
from serve.tokens import Role
from serve.turns import Stream
from store.keys import LineKey
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.certificates import Authority
from tests.serve.running import LINE, promote, serving, settings_for

OTHER = LineKey("turin", "press-4")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "left-0001.png"
    path.write_bytes(frame(0.9))
    return path


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that gives a connection up soon; what gRPC says of it is waited for all the same."""
    monkeypatch.setattr(client, "_CONNECT_S", 0.3)


@contextmanager
def running(folder: Path, **given: object) -> Iterator[str]:
    """The address of a server in this process."""
    server = Server(settings_for(folder, **given))
    try:
        yield server.start()
    finally:
        server.drain()


def test_the_role_inspect_is_enough_to_inspect(tmp_path: Path, store: Store, png: Path) -> None:
    promote(store)
    path, token_file = tmp_path / "tokens.json", tmp_path / "token"
    token_file.write_text(tokens.create(path, str(LINE), [Role.INSPECT]))
    with running(tmp_path, tokens=path) as target:
        given = ("--target", target, "--token-file", token_file)
        shown = call("inspect", png, *given)
        assert shown.exit_code == 0, shown.output
        assert f"{LINE}@1" in shown.stdout
        benched = call("bench", png, *given, "--seconds", 0.1, "--json")
        assert benched.exit_code == 0, benched.output
        assert json.loads(benched.stdout)["requests"] > 0
        told = call("info", *given).stderr
        assert "has not the role read" in told
        assert "--token-file" in told
        assert "give --token-file" in call("inspect", png, "--target", target).stdout


def test_a_line_is_named_by_an_option(tmp_path: Path, store: Store, png: Path) -> None:
    promote(store)
    promote(store, line=OTHER)
    with running(tmp_path, lines=f"{LINE},{OTHER}") as target:
        given = ("--target", target)
        for words in (("inspect", png), ("info",), ("bench", png, "--seconds", 0.1)):
            unnamed = call(*words, *given)
            assert unnamed.exit_code == 1
            assert f"name one with --line: {LINE}, {OTHER}" in unnamed.output
            assert call(*words, *given, "--line", OTHER).exit_code == 0
        assert f"{OTHER}@1" in call("inspect", png, *given, "--line", OTHER).stdout
        assert f"{OTHER}@1" in call("info", *given, "--line", OTHER).stdout


def test_a_late_frame_has_no_score_and_is_no_throughput(
    tmp_path: Path, store: Store, png: Path
) -> None:
    promote(store)
    with serving(tmp_path, workers=1, deadline_ms=1) as (server, connected):
        # The only worker is busy until the test ends.
        assert server.turns.take(Stream(str(LINE), "holder"), math.inf) == ""
        try:
            given = ("--target", connected.target)
            (row,) = map(json.loads, call("inspect", png, *given, "--json").stdout.splitlines())
            assert (row["score"], row["reasons"][0]["code"]) == (None, "late")
            line = call("inspect", png, *given).stdout.splitlines()[1]
            assert line.split()[1:3] == ["REVIEW", "-"]
            benched = call("bench", png, *given, "--seconds", 0.1, "--json")
            report = json.loads(benched.stdout)
            assert (report["requests"], report["per_s"], report["errors"]) == (0, 0, 0)
            assert report["late"] > 0
            assert benched.exit_code == 0
        finally:
            server.turns.give_back()


def test_serial_and_the_name_of_the_file_go_along(tmp_path: Path, store: Store, png: Path) -> None:
    promote(store)
    with serving(tmp_path) as (server, connected):
        words = ("--serial", "S-12", "--product", "lid", "--camera", "left", "--json")
        (sent,) = map(
            json.loads,
            call("inspect", png, "--target", connected.target, *words).stdout.splitlines(),
        )
        folder = server.settings.spool_folder(LINE)
    (row,) = map(json.loads, call("spool", folder, "--json").stdout.splitlines())
    assert (row["frame_id"], row["serial"], row["product"]) == ("left-0001.png", "S-12", "lid")
    assert sent["decision"].endswith(f"/{row['sequence']}")


@pytest.mark.parametrize("name", ["\udcff.png", "a" * 250 + ".png", "a\nb.png"])
def test_any_file_name_becomes_an_id_that_is_taken(tmp_path: Path, store: Store, name: str) -> None:
    promote(store)
    found = frame_id_of(Path(name))
    assert found.encode()
    with serving(tmp_path) as (_, connected):
        (tmp_path / name).write_bytes(frame(0.2))
        done = call("inspect", tmp_path / name, "--target", connected.target, "--json")
        assert json.loads(done.stdout)["frame_id"] == found


def test_a_handshake_that_fails_says_what_to_check(
    tmp_path: Path, store: Store, png: Path, quickly: None
) -> None:
    promote(store)
    (tmp_path / "stranger").mkdir()
    authority, stranger = Authority(tmp_path), Authority(tmp_path / "stranger", "stranger")
    certificate, key = authority.sign("server")
    tls = {"tls_cert": certificate, "tls_key": key}
    with running(tmp_path, **tls, tls_client_ca=authority.ca) as target:
        given = ("inspect", png, "--target", target)
        wrong_ca = call(*given, "--ca", stranger.ca).stderr
        assert "TLS handshake" in wrong_ca
        assert "check that --ca holds" in wrong_ca
        no_certificate = call(*given, "--ca", authority.ca).stderr
        assert "check --cert and --key" in no_certificate
        in_the_clear = call(*given).stderr
        assert "probably speaks TLS and needs --ca" in in_the_clear
    with running(tmp_path) as target:
        not_tls = call("inspect", png, "--target", target, "--ca", authority.ca).stderr
        assert "does not speak TLS" in not_tls


def test_a_certificate_for_another_host_is_said_to_be_so(
    tmp_path: Path, store: Store, png: Path, quickly: None
) -> None:
    promote(store)
    authority = Authority(tmp_path)
    certificate, key = authority.sign("server")
    given = {"tls_cert": certificate, "tls_key": key, "listen": "127.0.0.2:0"}
    with running(tmp_path, **given, allow_insecure=True) as target:
        told = call("inspect", png, "--target", target, "--ca", authority.ca).stderr
    assert "TLS handshake" in told
    assert "for the host that --target names" in told
