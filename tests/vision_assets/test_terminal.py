"""What the command line shows of figures and of progress."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.data.predictions.generate import CLASSES, Recipe, rows_and_outputs
from vision_assets.config import LimitSettings, LineConfig
from vision_assets.evaluation.evaluate import describe
from vision_assets.evaluation.figures import Evaluation
from vision_assets.evaluation.judge import judge
from vision_assets.terminal import Ticker, program, show_rows, unproven


def figures(limits: LimitSettings) -> Evaluation:
    rows, outputs = rows_and_outputs(Recipe())
    judged = judge(rows, outputs, CLASSES, LineConfig(limits=limits))
    return describe(judged, rows, CLASSES, {"model": "m", "snapshot": "s", "config": "c"})


def test_limits_that_are_not_proven_are_said_with_what_is_missing() -> None:
    found = figures(LimitSettings(max_escape_rate=0.001, max_overkill_rate=0.9))
    (said,) = unproven(found)
    bound = found.certificate["escapes"]
    assert said.startswith(f"escapes may be up to {bound.upper:.1%} (limit 0.1%; {bound.further} ")
    assert unproven(figures(LimitSettings(max_escape_rate=0.9, max_overkill_rate=0.9))) == []


def test_a_file_gets_few_lines_of_progress() -> None:
    out = io.StringIO()
    ticker = Ticker(Console(file=out))
    for done in range(1, 101):
        ticker("rendering frames", done, 100)
    ticker.say("model", "a line of [any] length " * 10)
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["rendering frames 1/100", "rendering frames 100/100"]
    assert len(lines) == 3


def test_what_looks_like_markup_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"why": "[red] parts"}], as_json=False, empty="")
    assert "[red] parts" in capsys.readouterr().out


def test_programs_are_named_as_they_can_be_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(folder))
    assert program("vision-serve") == "vision-serve"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(folder.parent)
    assert program("vision-serve") == f"{folder.name}/vision-serve"
    monkeypatch.chdir(tmp_path)
    assert program("vision-serve") == str(folder / "vision-serve")
