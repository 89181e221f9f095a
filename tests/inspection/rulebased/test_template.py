from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from inspection.rulebased.template import Tolerance, lay, learn, light, sighted_share
from store.errors import InvalidInput
from tests.data.boards.generate import Shot, any_shot, board, shoot

TOLERANCE = Tolerance()


def shots(count: int) -> list[np.ndarray]:
    return [shoot(board(), any_shot(seed), seed) for seed in range(count)]


def test_good_frames_lie_in_the_band_of_their_template() -> None:
    template = learn(shots(12), TOLERANCE)
    for seed in range(100, 106):
        laid = lay(shoot(board(), any_shot(seed), seed), template.mean, TOLERANCE)
        out = (laid.plane < template.lower) | (laid.plane > template.upper)
        assert (out & (laid.inside > 0)).mean() < 0.002


def test_one_frame_is_a_template_and_its_band_holds_it() -> None:
    template = learn([board()], TOLERANCE)
    assert np.array_equal(template.mean, board())
    smooth = cv2.GaussianBlur(board(), (3, 3), 0)  # as it is compared
    assert (template.lower <= smooth).all()
    assert (template.upper >= smooth).all()


@pytest.mark.parametrize("planes", [[], [board(), board()[:-2]]])
def test_a_template_needs_frames_of_one_size(planes: list[np.ndarray]) -> None:
    with pytest.raises(InvalidInput, match="of one size"):
        learn(planes, TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(0.6, 1.6), offset=st.floats(-20, 20))
def test_gain_and_offset_are_taken_back(gain: float, offset: float) -> None:
    lit = np.clip(board() * gain + offset, 0, 255).astype(np.uint8)
    if lit.max() == 255 or lit.min() == 0:
        return
    found, shift = light(lit, board())
    assert np.abs(lit * found + shift - board().astype(float)).mean() < 1.5


def test_a_defect_does_not_change_the_light_of_the_rest() -> None:
    spoilt = board().copy()
    spoilt[:40, :60] = 255
    gain, offset = light(spoilt, board())
    assert gain == pytest.approx(1, abs=0.06)
    assert offset == pytest.approx(0, abs=6)


def test_a_constant_frame_only_shifts() -> None:
    gain, offset = light(np.full(board().shape, 90, np.uint8), board())
    assert gain == 1
    assert 60 <= 90 + offset <= 200


def test_where_good_parts_differ_the_check_is_blind() -> None:
    sharp = learn(shots(8), TOLERANCE)
    textures = [shoot(board(seed), Shot(noise=40), seed) for seed in range(8)]
    assert sighted_share(sharp, 64) > 0.6
    assert sighted_share(learn(textures, TOLERANCE), 64) < 0.3


@pytest.mark.parametrize(("field", "value"), [("shift", 0), ("jitter_px", -1), ("levels", 0)])
def test_tolerances_have_bounds(field: str, value: int) -> None:
    with pytest.raises(ValidationError):
        Tolerance.model_validate({field: value})
