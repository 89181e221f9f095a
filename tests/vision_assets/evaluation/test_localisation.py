"""Pixel AUROC and AUPRO against brute force over every threshold, and by hand."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from vision_assets.evaluation.localisation import LEVELS, MOST_FALSE, Localiser


def brute_aupro(heats: list[NDArray[np.float32]], masks: list[NDArray[np.bool_]]) -> float:
    """Every level as a threshold, every region for itself."""
    good = np.concatenate([heat[~mask] for heat, mask in zip(heats, masks, strict=True)])
    regions = []
    for heat, mask in zip(heats, masks, strict=True):
        number, numbered = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [heat[numbered == region] for region in range(1, number)]
    curve = [(0.0, 0.0)]
    for level in range(LEVELS - 1, -1, -1):
        limit = (level - 0.5) / (LEVELS - 1)
        pro = float(np.mean([(region >= limit).mean() for region in regions]))
        curve.append((float((good >= limit).mean()), pro))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 >= MOST_FALSE:
            break
        end = min(x1, MOST_FALSE)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0) if x1 > x0 else y1
        area += (end - x0) * (y0 + y_end) / 2
    return area / MOST_FALSE


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), frames=st.integers(1, 4), strength=st.floats(0, 1))
def test_they_are_what_brute_force_gives(seed: int, frames: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    heats, masks, localiser = [], [], Localiser()
    for number in range(frames):
        mask = np.zeros((24, 32), bool)
        for _ in range(rng.integers(1, 4)):
            y, x, size = rng.integers(0, 20), rng.integers(0, 28), rng.integers(1, 6)
            mask[y : y + size, x : x + size] = True
        heat = (0.6 * rng.random(mask.shape) + 0.4 * strength * mask).astype(np.float32)
        localiser.add(heat, mask, f"g{number}")
        heats.append(heat)
        masks.append(mask)
    found = localiser.figures(0.95)
    assert found is not None
    truth, values = (
        np.concatenate([m.ravel() for m in masks]),
        np.concatenate([np.rint(h * (LEVELS - 1)).ravel() for h in heats]),
    )
    assert found.pixel_auroc.value == pytest.approx(float(roc_auc_score(truth, values)))
    assert found.aupro.value == pytest.approx(brute_aupro(heats, masks), abs=1e-9)
    assert 0 <= found.pixel_auroc.low <= found.pixel_auroc.high <= 1
    assert found.frames == frames


def test_a_hand_worked_frame() -> None:
    """Two regions: one found before any good pixel, one after half of them."""
    mask = np.zeros((4, 10), bool)
    mask[0, 0], mask[2, 4:6] = True, True
    heat = np.zeros((4, 10), np.float32)
    heat[0, 0] = 1.0
    localiser = Localiser()
    localiser.add(heat, mask, "g")
    found = localiser.figures(0.95)
    assert found is not None
    # The curve goes to (0, 1/2) and from there straight to (1, 1): at 0.3 it is at 0.65.
    assert found.aupro.value == pytest.approx((0.5 + 0.65) / 2)
    assert found.pixel_auroc.value == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert found.regions == 2


def test_without_a_region_there_is_nothing_to_say() -> None:
    localiser = Localiser()
    localiser.add(np.zeros((4, 4), np.float32), np.zeros((8, 8), bool), "g")
    assert localiser.figures(0.95) is None


def test_a_map_of_cells_is_brought_to_the_size_of_the_frame() -> None:
    mask = np.zeros((64, 64), bool)
    mask[32:40, 40:48] = True
    heat = np.zeros((8, 8), np.float32)
    heat[4, 5] = 1.0
    localiser = Localiser()
    localiser.add(heat, mask, "g")
    found = localiser.figures(0.95)
    assert found is not None
    assert found.pixel_auroc.value > 0.98
