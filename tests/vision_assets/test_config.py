"""A line's settings: bounds, all faults at once, history."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import documents, layout
from store.errors import InvalidInput, NotFound
from store.keys import LineKey
from store.root import Store
from vision_assets import config
from vision_assets.config import IngestSettings, LimitSettings, LineConfig

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


FOUND = LineConfig(
    classes=("pit",),
    cameras=("left",),
    time_zone="Europe/Rome",
    ingest=IngestSettings(channels=3, min_side_px=99),
    limits=LimitSettings(max_escape_rate=0.02),
)


def written(folder: Path, text: str) -> Path:
    path = folder / "line.yaml"
    path.write_text(text)
    return path


def test_a_file_states_its_sections_completely(tmp_path: Path) -> None:
    text = "training: {epochs: 3}\ncosts: {escape: 9}\nlimits:\n"
    merged = config.read_file(written(tmp_path, text), FOUND)
    assert (merged.training.epochs, merged.costs.escape) == (3, 9)
    assert merged.limits == LimitSettings(), "a limit taken out of the file is the default again"
    assert merged.ingest.min_side_px == IngestSettings().min_side_px
    assert merged.training.seed == LineConfig().training.seed


def test_what_a_delivery_found_out_stays_unless_it_is_named(tmp_path: Path) -> None:
    merged = config.read_file(written(tmp_path, "ingest: {max_pixels: 1000}"), FOUND)
    assert (merged.classes, merged.cameras, merged.time_zone) == (
        ("pit",),
        ("left",),
        "Europe/Rome",
    )
    assert (merged.ingest.channels, merged.ingest.max_pixels) == (3, 1000)
    assert merged.ingest.min_side_px == IngestSettings().min_side_px
    named = written(tmp_path, "classes: [dent]\ningest: {channels: null}")
    merged = config.read_file(named, FOUND)
    assert (merged.classes, merged.ingest.channels) == (("dent",), None)


def test_settings_that_differ_are_named_with_both_values() -> None:
    assert config.changes(FOUND, FOUND) == {}
    assert config.changes(LineConfig(), FOUND)["limits.max_escape_rate"] == (0.1, 0.02)
    assert config.changes(LineConfig(), FOUND)["classes"] == ([], ["pit"])


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    text = "training: {epochs: 0, colour: red}\nlimits: {confidence: 2}\nspeed: 1\n"
    with pytest.raises(InvalidInput) as caught:
        config.read_file(written(tmp_path, text), LineConfig())
    for name in ("training.epochs", "training.colour", "limits.confidence", "speed"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training: {epoch: 3}", "training.epoch: unknown; did you mean epochs?"),
        ("limit: {}", "limit: unknown; did you mean limits?"),
        ("epochs: 3", "epochs: unknown; did you mean training.epochs?"),
        ("costs: {max_escape_rate: 0.1}", "unknown; did you mean limits.max_escape_rate?"),
        ("zzz: 1", "zzz: unknown; docs/reference/line-settings.md lists all"),
    ],
)
def test_an_unknown_name_is_told_which_it_may_mean(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        config.read_file(written(tmp_path, text), LineConfig())
    assert expected in str(caught.value)


def test_a_fault_of_the_syntax_names_the_file_and_the_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r'line\.yaml", line 3'):
        config.read_file(written(tmp_path, "training:\n  a: [\n"), LineConfig())


@pytest.mark.parametrize("text", ["- 1\n", "a: [", "", "a: \x00", "training: 3\n"])
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
