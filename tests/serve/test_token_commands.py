"""Tokens from the command line, and that a server takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from serve.cli import main
from serve.tokens import rows
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.certificates import Authority
from tests.serve.running import LINE, promote, settings_for


def token(path: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["token", *words, "--file", str(path)])


def test_token_is_printed_once_and_listed_without_its_secret(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    roles = ("--role", "inspect", "--role", "read")
    made = token(path, "create", "--line", str(LINE), *roles, "--name", "PLC", "--days", "30")
    assert made.exit_code == 0
    secret = made.output.strip().rpartition("_")[2]
    listed = token(path, "list")
    assert str(LINE) in listed.output
    assert "inspect,read" in listed.output
    assert secret not in listed.output
    (row,) = map(json.loads, token(path, "list", "--json").output.splitlines())
    assert not {"salt", "hash"} & set(row)
    assert rows(path)[0].expires_utc is not None
    assert token(path, "revoke", row["id"]).exit_code == 0
    assert rows(path) == ()


@pytest.mark.parametrize(
    "words",
    [
        ("create", "--role", "read"),
        ("create", "--line", "turin", "--role", "read"),
        ("create", "--site", "turin/press-3", "--role", "read"),
        ("create", "--site", "turin", "--everywhere", "--role", "read"),
        ("create", "--line", "turin/press-3"),
        ("create", "--line", "turin/press-3", "--role", "owner"),
        ("create", "--line", "turin/press-3", "--role", "read", "--days", "0"),
        ("create", "--line", "../x", "--role", "read"),
        ("create", "--line", "turin/press-3", "--role", "read", "--certificate", "/nowhere.pem"),
        ("create", "--line", "turin/press-3", "--role", "read", "--certificate", __file__),
        ("revoke", "0123456789ab"),
        ("list",),
    ],
)
def test_wrong_words_make_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = token(tmp_path / "tokens.json", *words)
    assert done.exit_code != 0
    assert "Error" in done.output
    assert not (tmp_path / "tokens.json").exists()


def test_certificate_is_entered_once_by_its_fingerprint(tmp_path: Path) -> None:
    path, (certificate, _) = tmp_path / "tokens.json", Authority(tmp_path).sign("plc")
    words = ("create", "--line", str(LINE), "--role", "inspect", "--certificate", str(certificate))
    made = token(path, *words)
    (row,) = rows(path)
    der = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert row.certificate_sha256 == der.fingerprint(hashes.SHA256()).hex()
    assert row.id in made.output
    assert row.id in token(path, *words).output  # the one that names it already
    assert rows(path) == (row,)
    assert row.certificate_sha256[:12] in token(path, "list").output
    assert token(path, "revoke", row.id).exit_code == 0


def test_client_commands_speak_tls_and_show_their_token(tmp_path: Path, store: Store) -> None:
    from serve.server import Server

    promote(store)
    authority = Authority(tmp_path)
    certificate, key = authority.sign("server")
    file, token_file = tmp_path / "tokens.json", tmp_path / "token"
    words = ("create", "--line", str(LINE), "--role", "inspect", "--role", "read")
    token_file.write_text(token(file, *words).output)
    (tmp_path / "frame.png").write_bytes(frame(0.9))
    server = Server(
        settings_for(
            tmp_path, tls_cert=certificate, tls_key=key, tls_client_ca=authority.ca, tokens=file
        )
    )
    target = ["--target", server.start()]
    mine = dict(zip(("--cert", "--key"), map(str, authority.sign("client")), strict=True))
    given = {"--ca": str(authority.ca), **mine, "--token-file": str(token_file)}
    options = [word for pair in given.items() for word in pair]
    try:
        run = CliRunner().invoke
        told = run(main, ["info", *target, *options])
        assert f"{LINE}@1" in told.output
        frames = [str(tmp_path / "frame.png")]
        told = run(main, ["inspect", *frames, *target, *options, "--json"])
        assert json.loads(told.output)["verdict"] == "REJECT"
        told = run(main, ["bench", *frames, *target, *options, "--seconds", "0.1"])
        assert "0 errors" in told.output
        without = run(main, ["info", *target, *options[:-2]])
        assert without.exit_code == 1
        assert "token" in without.output
        assert "--ca" in run(main, ["info", *target]).output
    finally:
        server.drain()
