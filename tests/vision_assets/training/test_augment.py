from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from vision_assets.training.augment import Augmentation


def _frame(channels: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (64, 48, channels)).astype(np.uint8)


def _mask() -> NDArray[np.uint8]:
    mask = np.zeros((64, 48), np.uint8)
    mask[20:30, 20:30] = 2
    mask[40:44, 5:9] = 255
    return mask


@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_type_stay(channels: int) -> None:
    pixels, mask = Augmentation(flips=True)(_frame(channels), _mask(), seed=1)
    assert pixels.shape == (64, 48, channels)
    assert pixels.dtype == np.uint8
    assert mask is not None
    assert mask.shape == (64, 48)
    assert mask.dtype == np.uint8


def test_masks_keep_their_numbers() -> None:
    augment = Augmentation(flips=True)
    for seed in range(40):
        mask = augment(_frame(), _mask(), seed)[1]
        assert mask is not None
        assert set(np.unique(mask)) <= {0, 2, 255}


def test_the_seed_alone_decides_in_any_thread() -> None:
    augment = Augmentation(flips=True)
    alone = [augment(_frame(), _mask(), seed)[0] for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda s: augment(_frame(), _mask(), s)[0], range(12)))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert len({frame.tobytes() for frame in alone}) >= 11


def test_nothing_moves_far() -> None:
    """A mark in the middle stays within 3 % and 5 degrees of where it was."""
    augment = Augmentation(flips=False)
    mask = np.zeros((100, 100), np.uint8)
    mask[20, 20] = mask[19:22, 19:22] = 1
    for seed in range(60):
        moved = augment(np.zeros((100, 100, 1), np.uint8), mask, seed)[1]
        assert moved is not None
        rows, columns = np.nonzero(moved)
        assert abs(rows.mean() - 20) < 3 + 42 * np.sin(np.radians(5)) + 1
        assert abs(columns.mean() - 20) < 3 + 42 * np.sin(np.radians(5)) + 1


def test_mirrors_only_when_asked() -> None:
    frame = np.zeros((64, 64, 1), np.uint8)
    frame[:, :20] = 200

    frame[:20] += 50

    def corners(flips: bool) -> set[tuple[bool, bool]]:
        augment = Augmentation(flips)
        changed = [augment(frame, None, seed)[0].astype(float) for seed in range(40)]
        return {
            (bool(c[:, :15].mean() > c[:, -15:].mean()), bool(c[:15].mean() > c[-15:].mean()))
            for c in changed
        }

    assert corners(False) == {(True, True)}
    assert len(corners(True)) == 4


def test_a_frame_without_mask_has_none_afterwards() -> None:
    assert Augmentation(flips=False)(_frame(), None, 0)[1] is None
