import numpy as np
from numpy.random import default_rng

from vision_assets.simulation import blemishes
from vision_assets.simulation.blanks import make_blank
from vision_assets.simulation.marks import apply

BLANK = make_blank("turned", default_rng(1))
CENTRE = (360.0, 360.0)


def test_blemishes_are_never_in_a_mask_and_fainter_than_defects() -> None:
    for seed in range(25):
        rng = default_rng(seed)
        places = rng.choice(BLANK.places, blemishes.PLACES)
        for mark in blemishes.draw(rng, BLANK, places, CENTRE):
            pixels = np.full((720, 720, 3), 118, np.uint8)
            window, mask = apply(pixels, BLANK.surface, mark, 1.0)
            change = np.abs(pixels[window].astype(int) - 118).max(axis=2)
            assert not mask.any()
            # Only dust is as strong as a defect, and dust is small.
            assert change.max() <= 28 or np.count_nonzero(change > 10) <= 16
            assert change.max() <= 62


def test_most_frames_have_some() -> None:
    rng = default_rng(2)
    places = rng.choice(BLANK.places, blemishes.PLACES)
    counts = [len(blemishes.draw(rng, BLANK, places, CENTRE)) for _ in range(300)]
    assert min(counts) == 0
    assert 3 < np.mean(counts) < 6
