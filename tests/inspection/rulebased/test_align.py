"""Where a part lies: shifts, turns and stretches that were put in are found again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection.rulebased.align import Reach, align, is_within, laid_on, reduced, seen
from tests.data.boards.generate import HEIGHT, WIDTH, Shot, board, shoot

REACH = Reach(shift=0.05, turn_deg=3.0, stretch=0.02, local_px=1.5)


@settings(max_examples=15, deadline=None)
@given(x=st.floats(-6, 6), y=st.floats(-6, 6), turn=st.floats(-2, 2))
def test_a_shift_and_a_turn_are_found(x: float, y: float, turn: float) -> None:
    shot = shoot(board(), Shot((x, y), turn))
    found = align(shot, board(), REACH)
    expected = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn, 1.0)
    expected[:, 2] += np.array((x, y))
    for corner in ((20, 20), (WIDTH - 20, HEIGHT - 20)):
        where = found.matrix @ np.array([*corner, 1.0])
        assert np.abs(where - expected @ np.array([*corner, 1.0])).max() < 0.7
    assert found.correlation > 0.9


def test_a_stretch_of_a_percent_is_found() -> None:
    matrix = np.array([[1.01, 0, -1], [0, 1, 0]], np.float32)
    shot = cv2.warpAffine(board(), matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    found = align(np.asarray(shot, np.uint8), board(), REACH)
    assert found.matrix[0, 0] == pytest.approx(1.01, abs=0.004)


def test_what_lies_beyond_the_reach_is_not_followed() -> None:
    shot = shoot(board(), Shot((25, 0), 8))
    found = align(shot, board(), REACH)
    assert is_within(found.matrix, shot.shape, REACH)
    assert found.correlation < 0.8


@pytest.mark.parametrize("level", [0, 128])
def test_a_frame_without_anything_in_it_is_laid_nowhere(level: int) -> None:
    found = align(np.full((HEIGHT, WIDTH), level, np.uint8), board(), REACH)
    assert found.correlation == 0
    assert np.isfinite(found.matrix).all()


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="expected one size"):
        align(board()[:-1], board(), REACH)


def test_a_laid_frame_is_the_template_again() -> None:
    shot = shoot(board(), Shot((3.4, -2.2), 0.8), seed=1)
    found = align(shot, board(), REACH)
    laid = laid_on(shot, board(), found, REACH.local_px)
    inside = seen(board().shape, found, 2) > 0
    differing = np.abs(laid.astype(int) - board())[inside] > 60
    assert differing.mean() < 0.01


def test_a_wobble_is_followed_region_by_region() -> None:
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    wave = 1.4 * np.sin(x / 40).astype(np.float32)
    shot = np.asarray(cv2.remap(board(), x, y + wave, cv2.INTER_LINEAR), np.uint8)
    found = align(shot, board(), REACH)
    bound, free = (laid_on(shot, board(), found, most) for most in (0.0, 1.5))
    error = [int((np.abs(laid.astype(int) - board()) > 90).sum()) for laid in (bound, free)]
    assert error[1] < 0.7 * error[0]


def test_outside_the_frame_nothing_is_seen() -> None:
    found = align(shoot(board(), Shot((6, 0))), board(), REACH)
    inside = seen(board().shape, found, 0)
    assert (inside[:, -4:] == 0).all()
    assert (inside[:, 10:-10] == 255).all()


@pytest.mark.parametrize(("shape", "scale"), [((640, 320), 0.5), ((100, 50), 1.0)])
def test_planes_are_only_ever_reduced(shape: tuple[int, int], scale: float) -> None:
    plane, found = reduced(np.zeros(shape, np.uint8))
    assert found == scale
    assert plane.shape == (round(shape[0] * scale), round(shape[1] * scale))
