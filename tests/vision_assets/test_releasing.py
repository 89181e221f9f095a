"""The commands about releases, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from store import artifacts, ledger, signing
from store.errors import InvalidInput
from store.ledger import Scope
from store.root import Store
from tests.store.test_signing import make_key
from tests.vision_assets.deployment.test_compare import ROWS
from tests.vision_assets.deployment.test_promote import LINE, bundle
from vision_assets.cli import cli

Call = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A line with two bundles that pass, the first of them live."""
    opened = Store(str(tmp_path / "store"))
    opened.write(f"landing/{LINE}/one/_COMPLETE", b"{}")
    for name in "ab":
        bundle(opened, name)
    artifacts.make_current(opened, LINE, "bundles", "b")
    return opened


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("VISION_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))

    def called(*words: str) -> str:
        done = CliRunner().invoke(cli, words, catch_exceptions=True)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return called


def rows(call: Call, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call(*words, "--json"))
    return found


def test_a_canary_from_entry_to_confirmation(store: Store, call: Call) -> None:
    rows(call, "promote", str(LINE), "--bundle", "a")
    words = ["canary", "--line", str(LINE), "--share", "5", "--camera", "top"]
    (entered,) = rows(call, *words)
    assert (entered["bundle"], entered["scope"]) == ("b", "cameras top, 5 % of parts")
    stood = rows(call, "at", "--site", "turin", "--line", "press-3")
    assert [(row["release"], row["stands"]) for row in stood] == [
        (f"{LINE}@1", "live"),
        (f"{LINE}@2", "canary"),
    ]
    assert ledger.entry(store, LINE, 2).scope == Scope(cameras=("top",), share=0.05)
    (confirmed,) = rows(call, "confirm", str(LINE), "--why", "good")
    assert (confirmed["action"], confirmed["ends"]) == ("confirm", 2)
    assert [row["stands"] for row in rows(call, "releases", str(LINE))] == ["-", "-", "live"]


def test_a_shadow_and_its_end(store: Store, call: Call) -> None:
    rows(call, "promote", str(LINE), "--bundle", "a")
    rows(call, "shadow", "--line", str(LINE))
    assert [row["stands"] for row in rows(call, "releases", str(LINE))] == ["live", "shadow"]
    (ended,) = rows(call, "withdraw", "--line", str(LINE), "--why", "seen enough")
    assert (ended["action"], ended["ends"], ended["why"]) == ("withdraw", 2, "seen enough")
    assert "seen enough" in call("releases", str(LINE))


def test_a_canary_of_everything_is_a_promotion(store: Store, call: Call) -> None:
    rows(call, "promote", str(LINE), "--bundle", "a")
    with pytest.raises(InvalidInput, match="--share, --camera or --product"):
        call("canary", "--line", str(LINE))
    with pytest.raises(InvalidInput, match="name the line once"):
        call("shadow")
    with pytest.raises(InvalidInput, match="name the line once"):
        call("shadow", str(LINE), "--line", str(LINE))


def test_signatures_are_shown_and_verified(
    store: Store, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_key(tmp_path)
    _, stranger = make_key(tmp_path, "stranger")
    rows(call, "promote", str(LINE), "--bundle", "a")
    monkeypatch.setenv(signing.SIGNING_KEY, str(private))
    rows(call, "promote", str(LINE), "--bundle", "b")
    key = signing.read_signer(private).key

    def signed() -> list[str]:
        return [row["signed"] for row in rows(call, "releases", str(LINE))]

    assert signed() == ["-", f"{key} (not verified)"]
    monkeypatch.setenv(signing.RELEASE_KEYS, str(public))
    assert signed() == ["-", key]
    monkeypatch.setenv(signing.RELEASE_KEYS, str(stranger))
    assert signed()[1].startswith("WRONG: it is signed with key")


def test_the_report_is_shown(store: Store, call: Call, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in ROWS))
    words = ["compare", "--line", str(LINE), "--from", str(file)]
    assert "shadow: new against old" in call(*words)
    (report,) = rows(call, *words)
    assert (report["parts"], report["changed"]) == ([1], [])
    assert {each["label"] for each in report["differences"]} == {"REJECT", "REVIEW"}
