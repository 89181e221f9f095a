"""A line's settings: bounds, all faults at once, history."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import documents, layout
from store.errors import InvalidInput, NotFound
from store.keys import LineKey
from store.root import Store
from vision_assets import config
from vision_assets.config import LineConfig

LINE = LineKey("a", "b")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_line_without_settings_says_how_to_get_them(store: Store) -> None:
    with pytest.raises(NotFound, match="vision-assets simulate"):
        config.load(store, LINE)


def test_saving_keeps_the_history_and_ignores_no_change(store: Store) -> None:
    first = LineConfig(classes=("pit",))
    assert config.save(store, LINE, first)
    assert not config.save(store, LINE, first)
    assert config.save(store, LINE, LineConfig(classes=("pit", "crack")))
    assert documents.numbers(store, layout.config(LINE)) == [1, 2]
    assert config.load(store, LINE).classes == ("pit", "crack")


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    base = LineConfig(classes=("pit",))
    path = tmp_path / "line.yaml"
    path.write_text("training: {epochs: 3}\ncosts: {escape: 9}\n")
    merged = config.read_file(path, base)
    assert (merged.training.epochs, merged.costs.escape) == (3, 9)
    assert merged.classes == ("pit",)
    assert merged.training.seed == base.training.seed
    assert merged.hash != base.hash


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "line.yaml"
    path.write_text("training: {epochs: 0, colour: red}\nlimits: {confidence: 2}\nspeed: 1\n")
    with pytest.raises(InvalidInput) as caught:
        config.read_file(path, LineConfig())
    for name in ("training.epochs", "training.colour", "limits.confidence", "speed"):
        assert name in str(caught.value)


@pytest.mark.parametrize("text", ["- 1\n", "a: [", ""])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "line.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"line\.yaml"):
        config.read_file(path, LineConfig())


@pytest.mark.parametrize(
    "bad",
    [
        {"classes": ["good"]},
        {"classes": ["a", "a"]},
        {"split": {"tune": 0.4, "calibrate": 0.4, "test": 0.4}},
        {"training": {"height_px": 100}},
    ],
)
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        LineConfig.model_validate(bad)
