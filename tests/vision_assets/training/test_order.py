from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_assets.training.order import draw_weights, epoch_order


@given(
    weights=st.lists(st.floats(0.01, 10), min_size=1, max_size=60),
    length=st.integers(1, 200),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 99),
)
def test_every_frame_comes_as_often_as_its_weight_says(
    weights: list[float], length: int, seed: int, epoch: int
) -> None:
    order = epoch_order(np.array(weights), length, seed, epoch)
    expected = np.array(weights) / sum(weights) * length
    counts = np.bincount(order, minlength=len(weights))
    assert len(order) == length
    assert np.all(counts >= np.floor(expected - 1e-6))
    assert np.all(counts <= np.ceil(expected + 1e-6))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    weights = np.linspace(1, 2, 30)
    first = epoch_order(weights, 64, seed=1, epoch=2).tolist()
    assert first == epoch_order(weights, 64, seed=1, epoch=2).tolist()
    assert first != epoch_order(weights, 64, seed=1, epoch=3).tolist()
    assert first != epoch_order(weights, 64, seed=2, epoch=2).tolist()


@given(good=st.integers(1, 200), bad=st.integers(1, 200))
def test_neither_kind_falls_below_a_third(good: int, bad: int) -> None:
    flags = [False] * good + [True] * bad
    classes: list[tuple[str, ...] | None] = [("pit",) if flag else () for flag in flags]
    share = draw_weights(flags, classes)[np.array(flags)].sum()
    assert 1 / 3 - 1e-9 <= share <= 2 / 3 + 1e-9
    if 1 / 3 <= bad / (good + bad) <= 2 / 3:
        assert share == pytest.approx(bad / (good + bad))


def test_a_rare_class_counts_by_the_root_of_its_frames() -> None:
    classes: list[tuple[str, ...] | None] = [("pit",)] * 16 + [None] * 4 + [()] * 20
    weights = draw_weights([True] * 20 + [False] * 20, classes)
    totals = Counter[object]()
    for names, weight in zip(classes, weights, strict=True):
        totals[names] += weight
    assert totals[("pit",)] == pytest.approx(2 * totals[None])


@pytest.mark.parametrize("flag", [True, False])
def test_one_kind_alone_is_drawn_evenly(flag: bool) -> None:
    weights = draw_weights([flag] * 4, [("pit",) if flag else ()] * 4)
    assert weights == pytest.approx([0.25] * 4)
