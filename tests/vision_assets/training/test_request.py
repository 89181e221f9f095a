from __future__ import annotations

from pathlib import Path

import pytest

from store.errors import InvalidInput
from tests.data.plates.generate import LINE, SETTINGS
from vision_assets.config import LineConfig
from vision_assets.training.request import Request, ask


def _ask(settings: LineConfig = SETTINGS, snapshot: str = "s1", threads: int = 1) -> Request:
    return ask("/store", str(LINE), snapshot, settings, threads)


def _changed(**training: object) -> LineConfig:
    return SETTINGS.model_copy(update={"training": SETTINGS.training.model_copy(update=training)})


def _backbone(folder: Path, weights: bytes) -> str:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return str(folder)


def test_equal_inputs_have_one_name() -> None:
    costs = SETTINGS.model_copy(update={"costs": SETTINGS.costs.model_copy(update={"escape": 9.0})})
    assert _ask().name == _ask(threads=2).name == _ask(costs).name


def test_whatever_changes_the_weights_changes_the_name() -> None:
    classes = SETTINGS.model_copy(update={"classes": ("dent",)})
    asked = [_ask(), _ask(snapshot="s2"), _ask(classes), _ask(_changed(seed=1))]
    asked += [_ask(_changed(epochs=4)), _ask(_changed(flips=True))]
    assert len({request.name for request in asked}) == len(asked)


def test_a_backbone_counts_by_what_it_holds(tmp_path: Path) -> None:
    first, same, other = (
        _ask(_changed(backbone=_backbone(tmp_path / name, data)))
        for name, data in (("a", b"1"), ("b", b"1"), ("c", b"2"))
    )
    assert first.name == same.name
    assert len({first.name, other.name, _ask().name}) == 3
    assert first.warnings == ()
    assert first.backbone == str(tmp_path / "a")


def test_without_a_backbone_it_says_so() -> None:
    (warning,) = _ask().warnings
    assert "from scratch" in warning
    assert "backbone" in warning


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(InvalidInput, match="task 'detection' does not exist"):
        _ask(SETTINGS.model_copy(update={"task": "detection"}))


def test_it_survives_the_command_line() -> None:
    assert Request.model_validate_json(_ask().model_dump_json()) == _ask()
