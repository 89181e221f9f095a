"""The commands about releases, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from store import artifacts, ledger, signing
from store.errors import InvalidInput, VisionError
from store.ledger import Scope
from store.root import Store
from tests.store.test_signing import make_key
from tests.vision_assets.deployment.test_compare import ROWS
from tests.vision_assets.deployment.test_promote import LINE, bundle
from vision_assets import config
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


def refused(call: Call, *words: str) -> str:
    with pytest.raises((VisionError, AssertionError)) as raised:
        call(*words)
    return str(raised.value)


def test_sign_signs_what_is_live_and_never_the_newest_bundle(
    store: Store, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_key(tmp_path)
    rows(call, "promote", str(LINE), "--bundle", "a")
    assert "VISION_SIGNING_KEY" in refused(call, "sign", str(LINE))
    monkeypatch.setenv(signing.SIGNING_KEY, str(private))
    monkeypatch.setenv(signing.RELEASE_KEYS, str(public))
    assert [row["stands"] for row in rows(call, "releases", str(LINE))] == ["refused"]
    assert rows(call, "at", str(LINE)) == []
    (signed,) = rows(call, "sign", str(LINE))
    assert (signed["bundle"], signed["action"]) == ("a", "promote")
    assert [row["stands"] for row in rows(call, "releases", str(LINE))] == ["-", "live"]
    assert "nothing to do" in call("sign", "--line", str(LINE))
    assert len(ledger.entries(store, LINE)) == 2


def test_an_unsigned_entry_after_signed_ones_is_signed_only_by_name(
    store: Store, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_key(tmp_path)
    monkeypatch.setenv(signing.SIGNING_KEY, str(private))
    monkeypatch.setenv(signing.RELEASE_KEYS, str(public))
    rows(call, "promote", str(LINE), "--bundle", "a")
    monkeypatch.delenv(signing.SIGNING_KEY)
    rows(call, "promote", str(LINE), "--bundle", "b")
    stands = [row["stands"] for row in rows(call, "releases", str(LINE))]
    assert stands == ["live", "refused"], "a server with these keys goes on with the first"
    monkeypatch.setenv(signing.SIGNING_KEY, str(private))
    assert "--bundle b" in refused(call, "sign", str(LINE))
    assert "is not live" in refused(call, "sign", str(LINE), "--bundle", "a")
    rows(call, "sign", str(LINE), "--bundle", "b")
    stands = [row["stands"] for row in rows(call, "releases", str(LINE))]
    assert stands == ["-", "refused", "live"]


def test_promote_says_what_it_replaces(store: Store, call: Call) -> None:
    assert "nothing was live before" in call("promote", str(LINE), "--bundle", "a")
    assert f"replaces {LINE}@1, bundle a" in call("promote", str(LINE))
    assert "nothing to promote" in call("promote", str(LINE))


def test_what_was_given_up_is_shown_as_such(store: Store, call: Call) -> None:
    for name in "ab":
        rows(call, "promote", str(LINE), "--bundle", name)
    rows(call, "rollback", str(LINE), "--why", "escapes")
    stands = [row["stands"] for row in rows(call, "releases", str(LINE))]
    assert stands == ["-", "given up", "live"]
    assert "--to NUMBER" in refused(call, "rollback", str(LINE), "--why", "again")
    assert "is live already" in refused(call, "rollback", str(LINE), "--to", "1", "--why", "x")


def test_bundles_are_listed_with_what_may_be_promoted(store: Store, call: Call) -> None:
    bundle(store, "c1", "parity")
    bundle(store, "c2", with_gates=False)
    for name in "ab":
        rows(call, "promote", str(LINE), "--bundle", name)
    rows(call, "rollback", str(LINE), "--why", "escapes")
    found = {row["bundle"]: row for row in rows(call, "bundles", "--line", str(LINE))}
    assert {name: (row["stands"], row["promotable"]) for name, row in found.items()} == {
        "a": ("live", "yes"),
        "b": ("given up", "no: was given up"),
        "c1": ("-", "no: gates fail: parity"),
        "c2": ("-", "no: no evidence"),
    }


def test_a_name_may_be_shortened_while_it_is_unambiguous(store: Store, call: Call) -> None:
    for name in ("c1-long", "c2-long"):
        bundle(store, name)
    (entered,) = rows(call, "promote", str(LINE), "--bundle", "c1")
    assert entered["bundle"] == "c1-long"
    assert "c1-long, c2-long; give more" in refused(call, "shadow", str(LINE), "--bundle", "c")
    said = refused(call, "shadow", str(LINE), "--bundle", "z")
    assert "no bundles/z" in said
    assert "[" not in said


def test_a_canary_is_for_cameras_and_products_that_the_line_has(store: Store, call: Call) -> None:
    rows(call, "promote", str(LINE), "--bundle", "a")
    config.save(store, LINE, config.LineConfig(cameras=("cam-1", "cam-2")))
    words = ("canary", str(LINE), "--camera", "cam-9", "--product", "lid")
    said = refused(call, *words)
    assert "cam-9" in said
    assert "cam-1, cam-2" in said
    assert "lid" not in said, "no product is listed, so any may be one"
    assert len(ledger.entries(store, LINE)) == 1
    rows(call, "canary", str(LINE), "--camera", "cam-2", "--product", "lid")


def test_a_store_that_is_not_there_is_said_to_be_so(call: Call, tmp_path: Path) -> None:
    for words in (("releases", str(LINE)), ("lines",), ("bundles", str(LINE))):
        assert f"no store at {tmp_path / 'store'}" in refused(call, *words)


def test_compare_of_no_spool_says_what_was_expected(
    store: Store, call: Call, tmp_path: Path
) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        done = CliRunner().invoke(cli, ["compare", str(LINE), "--from", str(folder)])
        assert done.exit_code == 2
        assert ".vision/serve/SITE/LINE/spool" in done.stderr


def test_the_version_is_told(call: Call) -> None:
    assert ", version " in call("--version")
