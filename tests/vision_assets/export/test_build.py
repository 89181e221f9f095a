from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from inspection.preprocess import prepare
from store import batches
from store.root import Store
from tests.data.spots.generate import CONTRACT
from tests.vision_assets.export.spot_line import LINE
from vision_assets.dataset import snapshot
from vision_assets.evaluation import evaluate
from vision_assets.export.build import calibration_pixels, calibration_rows


def _rows(number: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"frame_id": [f"f{i}" for i in range(number)], "role": ["calibrate"] * number}
    )


@pytest.mark.parametrize("number", [0, 1, 511, 512])
def test_few_calibration_frames_are_all_taken(number: int) -> None:
    assert calibration_rows(_rows(number)).equals(_rows(number))


def test_many_are_thinned_evenly_from_first_to_last() -> None:
    taken = calibration_rows(_rows(5000))["frame_id"].str.slice(1).cast(pl.Int64)
    assert len(taken) == 512
    assert (taken[0], taken[-1]) == (0, 4999)
    assert set(np.diff(taken.to_numpy())) == {9, 10}


def test_only_the_role_calibrate_is_taken() -> None:
    rows = pl.DataFrame({"frame_id": ["a", "b", "c"], "role": ["test", "calibrate", "train"]})
    assert calibration_rows(rows)["frame_id"].to_list() == ["b"]


def test_pixels_are_those_of_the_line_a_few_at_a_time(line_store: Store, evaluation: str) -> None:
    name = evaluate.read(line_store, LINE, evaluation).snapshot
    rows = calibration_rows(snapshot.frames(line_store, LINE, name)).head(19)
    told: list[int] = []
    parts = list(
        calibration_pixels(
            line_store, rows, CONTRACT.input, lambda what, done, total: told.append(done)
        )
    )
    assert [len(part) for part in parts] == [8, 8, 3]
    assert told == [8, 16, 19]
    expected = [
        prepare(data, CONTRACT.input).pixels for _, data in batches.read_frames(line_store, rows)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), np.stack(expected))
