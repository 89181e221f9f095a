from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_assets.training.drawing import draw


@given(
    seed=st.integers(0, 10**6),
    side=st.integers(12, 120),
    channels=st.sampled_from([1, 3]),
    level=st.integers(0, 255),
)
def test_a_defect_shows_on_any_ground(seed: int, side: int, channels: int, level: int) -> None:
    region = np.full((side, side, channels), level, np.float32)
    changed, outline = draw(region, np.random.default_rng(seed))
    assert changed.shape == region.shape
    assert outline.shape == (side, side)
    assert set(np.unique(outline)) == {0.0, 1.0}
    difference = np.abs(changed - region).max(2)
    assert difference[outline == 1].mean() > 3 * difference[outline == 0].mean()


@pytest.mark.parametrize("level", [20, 220])
def test_on_a_dark_ground_it_is_bright(level: int) -> None:
    region = np.full((40, 40, 1), level, np.float32)
    signs = [
        float((draw(region, np.random.default_rng(seed))[0] - region).sum()) > 0
        for seed in range(40)
    ]
    assert all(signs) if level == 20 else 2 < sum(signs) < 25
