"""The commands that make something beside a release, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from store import ledger
from store.errors import InvalidInput, NotFound
from store.root import Store
from tests.data.boards.generate import LINE, frozen_line
from tests.data.bundle.generate import write_bundle
from vision_assets.cli import cli


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a line of boards and a release."""
    folder = tmp_path_factory.mktemp("store")
    store = Store(str(folder))
    frozen_line(store, good=90)
    bundle = write_bundle(store, LINE, engines=("onnxruntime",))
    ledger.append(store, LINE, ledger.Draft(action="promote", bundle=bundle.name, who="tester"))
    return folder


def command(root: Path, *words: str) -> str:
    """What a command prints."""
    done = CliRunner().invoke(cli, words, env={"VISION_STORE": str(root)}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_check_is_made_shown_and_used_again(root: Path) -> None:
    line = str(LINE)
    (made,) = json.loads(command(root, "rule-based", "--line", line, "--json"))
    assert made["why_useless"] == ""
    assert made["test"]["escapes"]["count"] == 0
    shown = command(root, "rule-based", line)
    assert made["check"] in shown
    assert "PASS, REJECT and REVIEW" in shown
    (used,) = json.loads(command(root, "rule-based", line, "--use", made["check"], "--json"))
    assert used["check"] == made["check"]
    with pytest.raises(InvalidInput, match="either --from"):
        command(root, "rule-based", line, "--from", "a", "--use", "b")


def test_a_release_is_exported_for_triton(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "models"
    words = ("export-triton", "--line", str(LINE), "--release", "1", "--to", str(target), "--json")
    (row,) = json.loads(command(root, *words))
    assert row == {
        "model": "turin-boards",
        "version": 1,
        "folder": str(target / "turin-boards"),
    }
    assert (target / "turin-boards" / "1" / "model.onnx").is_file()


@pytest.mark.parametrize(
    "words", [("rule-based",), ("export-triton", "--release", "1", "--to", "x")]
)
def test_a_line_that_nobody_knows_is_refused(root: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(NotFound, match="no line turin/none"):
        command(root, words[0], "turin/none", *words[1:])
