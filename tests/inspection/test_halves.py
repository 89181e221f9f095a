"""Halves are means of cells, and each is made once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from inspection.halves import Halves, halved

SIDES = st.integers(1, 30)
FRAMES = arrays.arrays(np.uint8, st.tuples(SIDES, SIDES, st.sampled_from([1, 3])))


@given(frame=FRAMES)
def test_each_pixel_is_the_mean_of_its_cell(frame: NDArray[np.uint8]) -> None:
    rows, columns = max(1, frame.shape[0] // 2), max(1, frame.shape[1] // 2)
    whole = frame[: 2 * rows, : 2 * columns].astype(float)
    cells = whole.reshape(rows, whole.shape[0] // rows, columns, -1, frame.shape[2])
    found = halved(frame)
    assert found.shape == (rows, columns, frame.shape[2])
    assert np.abs(found - cells.mean((1, 3))).max() <= 0.5


def test_a_half_is_made_once_and_the_frame_itself_is_the_first() -> None:
    frame = np.zeros((64, 32, 3), np.uint8)
    halves = Halves(frame)
    assert halves.at(0) is frame
    assert halves.at(2).shape == (16, 8, 3)
    assert halves.at(2) is halves.at(2)
