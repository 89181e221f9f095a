from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from inspection.decision import Rule, Thresholds
from inspection.inspector import FrameContext, Inspector
from store import batches
from store.errors import Corrupt
from store.root import Store
from tests.data.predictions.line import CONTRACT, LINE, DarkEngine, deliver, publish_model
from vision_assets.dataset import snapshot
from vision_assets.evaluation.predict import SCHEMA, outputs, run
from vision_assets.progress import silent


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.mark.parametrize("workers", [1, 3])
def test_outputs_are_those_of_the_inspector_in_order(store: Store, workers: int) -> None:
    rows = snapshot.frames(store, LINE, deliver(store).name)
    found = outputs(store, rows, CONTRACT, DarkEngine(), workers, silent)
    assert dict(found.schema) == SCHEMA
    assert found["frame_id"].to_list() == rows["frame_id"].to_list()
    rule = Rule(default=Thresholds(temperature=1.0, pass_below=0.5, reject_from=0.5))
    inspector = Inspector(CONTRACT, rule, DarkEngine())
    answers = zip(batches.read_frames(store, rows), found.iter_rows(named=True), strict=True)
    for (_, data), row in answers:
        single = inspector.inspect(data, FrameContext()).outputs
        assert row["score"] == single.score[0]
        assert row["class_scores"] == [single.class_scores[0, 0]]
        heat = np.frombuffer(row["map"], np.uint8).reshape(4, 6) / 255
        assert heat == pytest.approx(single.map[0], abs=0.5 / 255)
        assert row["reason"] is None


def test_progress_is_told_of_each_frame(store: Store) -> None:
    rows = snapshot.frames(store, LINE, deliver(store, 20).name)
    told: list[tuple[int, int]] = []
    outputs(
        store, rows, CONTRACT, DarkEngine(), 1, lambda _, done, total: told.append((done, total))
    )
    assert told == [(done, 20) for done in range(1, 21)]


def test_a_frame_the_contract_refuses_has_a_reason_and_no_score(store: Store) -> None:
    rows = snapshot.frames(store, LINE, deliver(store, 20).name)
    colour = CONTRACT.model_copy(
        update={"input": CONTRACT.input.model_copy(update={"channels": 3})}
    )
    found = outputs(store, rows, colour, DarkEngine(), 2, silent)
    assert found["reason"].to_list() == ["the frame has 1 channel(s), expected 3"] * 20
    assert found["score"].null_count() == found["map"].null_count() == 20


def test_a_damaged_model_is_refused(store: Store, tmp_path: Path) -> None:
    model = publish_model(store, deliver(store, 20).name)
    weights = model.file("weights.safetensors")
    data = store.read(weights.path)
    target = tmp_path / "outputs.parquet"
    judged = run(store, LINE, model.name, target, silent)
    assert pl.read_parquet(target).height == judged > 0
    store.write(weights.path, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Corrupt, match="restore the file from a backup"):
        run(store, LINE, model.name, target, silent)


def test_without_frames_there_are_no_outputs(store: Store) -> None:
    rows = snapshot.frames(store, LINE, deliver(store, 20).name).filter(pl.lit(False))
    assert dict(outputs(store, rows, CONTRACT, DarkEngine(), 1, silent).schema) == SCHEMA


def test_changed_bytes_of_a_frame_are_not_judged(store: Store) -> None:
    rows = snapshot.frames(store, LINE, deliver(store, 20).name)
    place = batches.places(rows)[7]
    shard = bytearray(store.read(place.shard))
    shard[place.offset + place.length // 2] ^= 1
    store.write(place.shard, bytes(shard))
    with pytest.raises(Corrupt, match="frame b1-f7 of batch b1: .* restore the shard"):
        outputs(store, rows, CONTRACT, DarkEngine(), 2, silent)
