import cv2
import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from vision_assets.simulation.defects import DRAW, ON_RIM, Spot
from vision_assets.simulation.marks import apply
from vision_assets.simulation.settings import ALL_KINDS, KINDS

LEVEL = 118
EDGE = 40
SHAPE = (320, 360)
SEEDS = range(25)


def draw(kind: str, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The change that a defect makes to an even face right of x = EDGE, and its mask."""
    surface = np.zeros(SHAPE, np.uint8)
    surface[:, EDGE:] = 255
    pixels = np.where(surface[..., None] > 0, LEVEL, 30).astype(np.uint8).repeat(3, axis=2)
    before = pixels.astype(np.float64)
    x = EDGE if kind in ON_RIM else 200
    mark = DRAW[kind](default_rng([seed, 1]), Spot(x, 160, (1, 0), (0.6, -0.8)))
    window, own = apply(pixels, surface, mark, 1.0)
    mask = np.zeros(surface.shape, np.bool_)
    mask[window] = own
    return np.abs(pixels - before).max(axis=2), mask


def test_every_kind_can_be_drawn() -> None:
    assert set(DRAW) == set(ALL_KINDS)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_mask_holds_what_is_seen_and_little_else(kind: str) -> None:
    for seed in SEEDS:
        change, mask = draw(kind, seed)
        around = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        assert np.count_nonzero(mask) >= 12, seed
        assert change[mask].mean() > 10, seed
        if kind == "discolouration":  # has no edge
            assert change[mask].mean() > 3 * change[~mask & (change > 0)].mean(), seed
        else:
            assert change[~around].max() <= 4, seed


@pytest.mark.parametrize("kind", KINDS)
def test_the_subtlest_defect_survives_the_reduction_to_256_px(kind: str) -> None:
    contrasts = []
    for seed in SEEDS:
        change, _ = draw(kind, seed)
        small = cv2.resize(
            change, (SHAPE[1] * 256 // 640, SHAPE[0] * 256 // 480), interpolation=cv2.INTER_AREA
        )
        contrasts.append(float(np.sort(small.ravel())[-4:].mean()))
    assert min(contrasts) > 9


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_range_from_subtle_to_plain(kind: str) -> None:
    areas = [np.count_nonzero(draw(kind, seed)[1]) for seed in SEEDS]
    assert max(areas) > 4 * min(areas)


@pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if kind != "burr"])
def test_a_defect_stays_on_the_face(kind: str) -> None:
    for seed in SEEDS:
        change, mask = draw(kind, seed)
        assert not mask[:, :EDGE].any()
        assert change[:, :EDGE].max() == 0


def test_a_burr_stands_out_over_the_rim() -> None:
    _, mask = draw("burr", 1)
    assert mask[:, :EDGE].sum() > mask[:, EDGE:].sum()
