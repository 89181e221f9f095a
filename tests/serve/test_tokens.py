from __future__ import annotations

import json
import multiprocessing
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve import tokens
from serve.tokens import INCLUDES, Grant, Role, TokenBook
from store.errors import Conflict, InvalidInput, NotFound, Unavailable

NOW = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
LINE = "turin/press-3"


def test_token_grants_what_it_was_made_for(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = tokens.create(path, LINE, [Role.INSPECT], "PLC of press 3")
    (row,) = tokens.rows(path)
    assert TokenBook.read(path).find(token, NOW) == Grant(row.id, frozenset({Role.INSPECT}), LINE)
    assert (row.name, row.scope, row.roles) == ("PLC of press 3", LINE, (Role.INSPECT,))


def test_file_holds_no_token_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "tokens.json"
    token = tokens.create(path, "*", [Role.ADMIN])
    secret = token.rpartition("_")[2]
    assert secret not in path.read_text()
    assert len(token) > 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "wrong",
    ["", "vst_", "vst__", "vst_a_b", "Bearer x", "xyz_{id}_{secret}", "vst_{id}_", "vst_{id}"],
)
def test_wrong_token_grants_nothing(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "tokens.json"
    _, token_id, secret = tokens.create(path, LINE, [Role.READ]).split("_", 2)
    found = wrong.format(id=token_id, secret=secret)
    assert TokenBook.read(path).find(found, NOW) is None


@given(st.text(max_size=80))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    assert TokenBook([]).find(text, NOW) is None


def test_changed_secret_grants_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = tokens.create(path, LINE, [Role.READ])
    book = TokenBook.read(path)
    for place in range(len("vst_"), len(token)):
        other = "x" if token[place] != "x" else "y"
        assert book.find(token[:place] + other + token[place + 1 :], NOW) is None


def test_expired_token_grants_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    until = datetime.fromtimestamp(NOW, UTC) + timedelta(days=1)
    token = tokens.create(path, LINE, [Role.READ], expires=until)
    book = TokenBook.read(path)
    assert book.find(token, NOW) is not None
    assert book.find(token, until.timestamp()) is None


def test_revoked_token_is_gone_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    first, second = (tokens.create(path, LINE, [Role.READ]) for _ in range(2))
    os.chmod(path, 0o640)
    tokens.revoke(path, first.split("_")[1])
    book = TokenBook.read(path)
    assert book.find(first, NOW) is None
    assert book.find(second, NOW) is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(NotFound, match="holds no token"):
        tokens.revoke(path, first.split("_")[1])


@pytest.mark.parametrize(
    ("scope", "line", "covers"),
    [
        ("*", "turin/press-3", True),
        ("turin", "turin/press-3", True),
        ("turin", "turin-2/press-3", False),
        ("turin/press-3", "turin/press-3", True),
        ("turin/press-3", "turin/press-33", False),
        ("turin/press-3", "turin/press-4", False),
    ],
)
def test_scope(scope: str, line: str, covers: bool) -> None:
    assert Grant("", frozenset(), scope).covers(line) is covers


@pytest.mark.parametrize("scope", ["", "a/b/c", "../x", "a b", "/", "a/"])
def test_scope_that_names_no_line_is_refused(tmp_path: Path, scope: str) -> None:
    with pytest.raises(InvalidInput, match="scope"):
        tokens.create(tmp_path / "tokens.json", scope, [Role.READ])
    assert not (tmp_path / "tokens.json").exists()


def test_token_without_a_role_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no token was made"):
        tokens.create(tmp_path / "tokens.json", LINE, [])


def test_admin_includes_every_role() -> None:
    assert INCLUDES[Role.ADMIN] == frozenset(Role)
    assert all(role in INCLUDES[role] for role in Role)


def test_file_that_others_may_change_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens.create(path, LINE, [Role.READ])
    os.chmod(path, 0o660)
    with pytest.raises(Unavailable, match="chmod"):
        TokenBook.read(path)


def test_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="token create"):
        TokenBook.read(tmp_path / "tokens.json")


def test_damaged_file_is_refused_without_showing_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps([{"id": "MY-SECRET", "hash": "MY-SECRET"}]))
    path.chmod(0o600)
    with pytest.raises(InvalidInput) as raised:
        TokenBook.read(path)
    assert "MY-SECRET" not in str(raised.value)
    assert "0.scope" in str(raised.value)


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"salt": "0" * 32},
        {"hash": "0" * 64},
        {"certificate_sha256": "0" * 64, "hash": "0" * 64},
        {"certificate_sha256": "0" * 64, "salt": "0" * 32, "hash": "0" * 64},
        {"certificate_sha256": "0" * 40},
    ],
)
def test_row_is_of_a_token_or_of_a_certificate(tmp_path: Path, shown: dict[str, str]) -> None:
    path = tmp_path / "tokens.json"
    tokens.admit(path, "1" * 64, LINE, [Role.READ])
    (row,) = json.loads(path.read_text())
    del row["certificate_sha256"]
    path.write_text(json.dumps([{**row, **shown}]))
    with pytest.raises(InvalidInput, match=r"certificate_sha256"):
        TokenBook.read(path)


def test_certificate_is_known_until_it_expires(tmp_path: Path) -> None:
    path, expires = tmp_path / "tokens.json", datetime(2027, 1, 31, tzinfo=UTC)
    identity = tokens.admit(path, "1" * 64, LINE, [Role.READ], expires=expires)
    book, end = TokenBook.read(path), expires.timestamp()
    grant = book.find_certificate("1" * 64, end - 1)
    assert grant == Grant(identity, frozenset({Role.READ}), LINE)
    assert grant is not None
    assert book.holds(grant, end - 1)
    assert not book.holds(grant, end)
    assert book.find_certificate("1" * 64, end) is None
    assert book.find_certificate("2" * 64, end - 1) is None
    assert book.find_certificate("", end - 1) is None
    assert book.find(f"vst_{identity}_", end - 1) is None  # the id alone is no token
    with pytest.raises(Conflict, match=identity):
        tokens.admit(path, "1" * 64, "*", [Role.ADMIN])


def _create_some(path: Path) -> None:
    for _ in range(5):
        tokens.create(path, LINE, [Role.READ])


def test_two_who_create_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_create_some, args=(path,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert len(tokens.rows(path)) == 20
    assert [found.name for found in tmp_path.iterdir() if found.name.startswith(".")] == []
