from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection.rulebased.measures import OF_THE_FRAME, OF_THE_PART, limits, measure, outside
from inspection.rulebased.template import Tolerance, lay
from inspection.statistics import statistics
from tests.data.boards.generate import any_shot, board, shoot


def measured(plane: np.ndarray) -> dict[str, float]:
    laid = lay(plane, board(), Tolerance())
    return measure(laid, board(), statistics(plane[:, :, np.newaxis]))


def test_all_measures_are_there_and_finite() -> None:
    found = measured(board())
    assert tuple(found) == (*OF_THE_FRAME, *OF_THE_PART)
    assert np.isfinite(list(found.values())).all()
    # Six rows, their tracks joined by what stands between them or not.
    assert 1 <= found["blobs"] <= 6
    assert found["foreground"] == pytest.approx((board() > 120).mean(), abs=0.03)


def test_good_frames_keep_the_limits_of_good_frames() -> None:
    known = limits([measured(shoot(board(), any_shot(seed), seed)) for seed in range(8)])
    for seed in range(100, 104):
        assert outside(measured(shoot(board(), any_shot(seed), seed)), known) == {}


@pytest.mark.parametrize(
    ("what", "name"),
    [("dark", "brightness"), ("flat", "correlation"), ("missing", "edges")],
)
def test_what_a_template_cannot_tell_a_measure_does(what: str, name: str) -> None:
    known = limits([measured(shoot(board(), any_shot(seed), seed)) for seed in range(8)])
    plane = {
        "dark": (board() // 4).astype(np.uint8),
        "flat": np.full_like(board(), 120),
        "missing": np.where(np.arange(board().shape[0])[:, None] > 70, board(), 60).astype(
            np.uint8
        ),
    }[what]
    found = outside(measured(plane), known)
    assert name in found
    value, limit = found[name]
    assert (value < limit) == (limit == known[name][0])


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.sampled_from(["brightness", "x"])
)
def test_what_was_good_is_always_within(values: list[float], name: str) -> None:
    known = limits([{name: value} for value in values])
    assert all(outside({name: value}, known) == {} for value in values)
