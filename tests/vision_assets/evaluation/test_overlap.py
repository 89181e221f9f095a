"""IoU and Dice against their definition, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_assets.evaluation.overlap import Overlaps


def test_a_hand_worked_frame() -> None:
    mask = np.zeros((4, 4), np.uint8)
    mask[:2] = 1  # eight pixels of the first class
    found = np.zeros((2, 4, 4), bool)
    found[0, 1:3] = True  # eight, four of which are right
    found[1, 0, 0] = True  # of a class that no mask shows
    overlaps = Overlaps(("pit", "crack"))
    overlaps.add(found, mask, "g")
    (pit,) = overlaps.figures(0.95)
    assert (pit.name, pit.pixels) == ("pit", 8)
    assert pit.iou.value == pytest.approx(4 / 12)
    assert pit.dice.value == pytest.approx(8 / 16)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), frames=st.integers(1, 5))
def test_they_are_their_definition_over_all_pixels(seed: int, frames: int) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 3, (frames, 6, 7)).astype(np.uint8)
    found = rng.random((frames, 2, 6, 7)) < 0.5
    overlaps = Overlaps(("a", "b"))
    for number in range(frames):
        overlaps.add(found[number], masks[number], f"g{number % 3}")
    for number, each in enumerate(overlaps.figures(0.95)):
        taken, of_it = found[:, number], masks == number + 1
        iou = (taken & of_it).sum() / (taken | of_it).sum()
        assert each.iou.value == pytest.approx(iou)
        assert each.dice.value == pytest.approx(2 * iou / (1 + iou))
        assert 0 <= each.iou.low <= each.iou.high <= 1


def test_without_frames_there_is_nothing_to_say() -> None:
    assert Overlaps(("a",)).figures(0.95) == ()
