import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from store import landing
from store.errors import Refused
from store.keys import BatchKey
from store.root import Store
from vision_assets import config
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.labels.record import record_batch
from vision_assets.simulation.settings import KINDS, SimulationSettings
from vision_assets.simulation.simulate import simulate

KEY = BatchKey("turin", "press-3", "shift-7")
SMALL = SimulationSettings(frames=9, cameras=2, defect_rate=0.6, seed=3)


def render(
    folder: Path, settings: SimulationSettings = SMALL, key: BatchKey = KEY
) -> dict[str, bytes]:
    """Every file of the delivery, with its bytes."""
    simulate(Store(str(folder)), key, settings)
    root = folder / "landing" / key.site / key.line / key.batch
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def rows(files: dict[str, bytes], name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in files[name].splitlines()]


def picture(data: bytes) -> NDArray[np.uint8]:
    """An encoded picture as grey levels."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return render(tmp_path_factory.mktemp("store"))


def test_the_same_settings_give_the_same_bytes_on_one_core_of_another_process(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    code = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from store.keys import BatchKey; from store.root import Store\n"
        "from vision_assets.simulation.settings import SimulationSettings\n"
        "from vision_assets.simulation.simulate import simulate\n"
        "settings = SimulationSettings.model_validate_json(sys.argv[2])\n"
        "simulate(Store(sys.argv[1]), BatchKey.parse(sys.argv[3]), settings)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), SMALL.model_dump_json(), str(KEY)]
    subprocess.run(command, check=True)
    root = tmp_path / "landing" / str(KEY)
    found = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
    assert set(found) == set(files)
    assert all(path.read_bytes() == files[name] for name, path in found.items())


def test_rendering_again_changes_nothing(tmp_path: Path) -> None:
    assert render(tmp_path) == render(tmp_path)


def test_a_batch_that_grows_keeps_the_frames_it_had(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    render(tmp_path)
    more = render(tmp_path, SMALL.model_copy(update={"frames": 15}))
    assert len(rows(more, "metadata.jsonl")) == 15
    assert all(more[n] == data for n, data in files.items() if n.endswith((".jpg", ".png")))
    assert rows(more, "metadata.jsonl")[:9] == rows(files, "metadata.jsonl")


def test_a_batch_that_is_there_is_left_alone(tmp_path: Path) -> None:
    render(tmp_path)
    told: list[object] = []
    simulate(Store(str(tmp_path)), KEY, SMALL, lambda *what: told.append(what))
    assert told == []


def test_a_batch_that_was_half_rendered_is_finished(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    render(tmp_path)
    (tmp_path / "landing" / str(KEY) / "_COMPLETE").unlink()
    assert render(tmp_path) == files


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"seed": 4}, r"\(seed 3\)"), ({"frames": 8}, r"\(frames 9\)"), ({"lighting": 0.5}, "1.0")],
)
def test_other_settings_do_not_overwrite_a_batch(
    files: dict[str, bytes], tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    render(tmp_path)
    with pytest.raises(Refused, match=said):
        simulate(Store(str(tmp_path)), KEY, SMALL.model_copy(update=changes))
    assert render(tmp_path) == files


def deliver_a_real_one(store: Store, key: BatchKey) -> None:
    config.save(store, key.line_key, config.LineConfig())
    writer = landing.LandingWriter(store, key)
    writer.add_frame("1.png", b"", {"camera": "c", "captured_at": "2026-01-01T00:00:00Z"})
    writer.complete(datetime(2026, 1, 1, tzinfo=UTC))


def test_a_real_batch_is_not_overwritten(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    deliver_a_real_one(store, KEY)
    for mix in (False, True):
        with pytest.raises(Refused, match="was not simulated: choose another --batch"):
            simulate(store, KEY, SMALL, mix=mix)


def test_simulated_parts_are_not_mixed_among_real_ones_unasked(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    deliver_a_real_one(store, KEY)
    other = BatchKey("turin", "press-3", "shift-8")
    with pytest.raises(Refused, match="has batch shift-7, which was not simulated"):
        simulate(store, other, SMALL)
    assert simulate(store, other, SMALL, mix=True).frames == 9


def test_metadata_are_those_of_a_line_in_motion(files: dict[str, bytes]) -> None:
    metadata = rows(files, "metadata.jsonl")
    times = [datetime.fromisoformat(str(row["captured_at"])) for row in metadata]
    assert [row["camera"] for row in metadata] == [f"cam-{1 + i % 2}" for i in range(9)]
    assert [row["serial"] for row in metadata] == [f"shift-7-{1 + i // 2:06d}" for i in range(9)]
    assert times == sorted(times)
    assert times[0] - datetime(2024, 1, 3, 14, tzinfo=UTC) < timedelta(seconds=0.1)
    assert times[-1] - times[0] == pytest.approx(timedelta(seconds=6), abs=timedelta(seconds=0.1))
    assert {row["product"] for row in metadata} == {"cover-a"}
    assert all(3 < float(str(row["exposure_ms"])) < 5 for row in metadata)


def test_labels_have_masks_of_the_size_of_the_frame(files: dict[str, bytes]) -> None:
    labels = rows(files, "labels.jsonl")
    assert len(labels) == 9
    assert {row["label"] for row in labels} == {"good", "defect"}
    for row in labels:
        assert (row["label"] == "defect") == ("mask" in row) == bool(row["classes"])
        if "mask" in row:
            mask = picture(files[f"masks/{row['mask']}"])
            classes = row["mask_classes"]
            assert isinstance(classes, list)
            assert mask.shape == (480, 640)
            assert set(np.unique(mask)) == set(range(len(classes) + 1))


def test_a_given_start_is_kept(tmp_path: Path) -> None:
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    found = render(tmp_path, SMALL.model_copy(update={"start": start, "frames": 1}))
    at = datetime.fromisoformat(str(rows(found, "metadata.jsonl")[0]["captured_at"]))
    assert timedelta(0) <= at - start < timedelta(seconds=0.1)


@pytest.mark.parametrize("batch", ["morning", "lot-99999", "2031-12-31"])
def test_no_batch_is_from_the_future(batch: str, tmp_path: Path) -> None:
    key = BatchKey("turin", "press-3", batch)
    found = render(tmp_path, SMALL.model_copy(update={"frames": 1}), key)
    at = datetime.fromisoformat(str(rows(found, "metadata.jsonl")[0]["captured_at"]))
    assert datetime(2024, 1, 1, tzinfo=UTC) <= at < datetime(2025, 1, 1, tzinfo=UTC)


def test_a_line_without_settings_gets_some_and_others_stay(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    simulate(store, KEY, SMALL)
    made = config.load(store, KEY.line_key)
    assert made.classes == KINDS
    assert made.cameras == ("cam-1", "cam-2")
    assert made.products == ("cover-a",)
    assert made.ingest.channels == 3
    own = made.model_copy(update={"time_zone": "Europe/Rome"})
    config.save(store, KEY.line_key, own)
    simulate(store, BatchKey("turin", "press-3", "shift-8"), SMALL)
    assert config.load(store, KEY.line_key) == own


def test_progress_is_told_of_every_frame(tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    found = simulate(Store(str(tmp_path)), KEY, SMALL, lambda *what: said.append(what))
    assert said == [("rendering frames", done, 9) for done in range(1, 10)]
    assert found == landing.delivery(Store(str(tmp_path)), KEY)
    assert found.frames == 9


def test_ingest_and_labels_find_no_fault(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    simulate(store, KEY, SMALL)
    settings = config.load(store, KEY.line_key)
    ingested = ingest_batch(store, KEY, settings)
    assert (ingested.added, ingested.quarantined, ingested.metadata_faults) == (9, 0, [])
    recorded = record_batch(store, KEY, settings)
    assert (recorded.labelled, recorded.faults) == (9, [])


def test_neither_brightness_nor_32_px_tell_good_from_bad(tmp_path: Path) -> None:
    found = render(tmp_path, SimulationSettings(frames=300, defect_rate=0.4, seed=1))
    frames, bad = [], []
    for row in rows(found, "labels.jsonl"):
        grey = picture(found[f"frames/{row['file']}"])
        frames.append(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).ravel() / 255)
        bad.append(row["label"] == "defect")
    brightness = roc_auc_score(bad, np.mean(frames, axis=1))
    assert max(brightness, 1 - brightness) <= 0.6
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=500))
    scores = cross_val_predict(probe, np.array(frames), bad, cv=3, method="decision_function")
    assert roc_auc_score(bad, scores) <= 0.8
