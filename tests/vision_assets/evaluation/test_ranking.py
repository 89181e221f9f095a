from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from vision_assets.evaluation import ranking
from vision_assets.evaluation.intervals import Bools, Floats, Ints, auroc_interval, resamples

Sample = tuple[Floats, Bools, Ints]


def _sample(
    rng: np.random.Generator, distance: float, groups: tuple[int, int], size: int, icc: float
) -> Sample:
    """Scores of defective and good groups whose true AUROC is Phi(distance / sqrt 2)."""
    number = np.repeat(np.arange(sum(groups)), size)
    defective = number < groups[0]
    common = np.repeat(rng.normal(size=sum(groups)), size)
    noise = np.sqrt(icc) * common + np.sqrt(1 - icc) * rng.normal(size=len(number))
    return noise + distance * defective, defective, number


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 6)), min_size=4, max_size=25
    ),
    st.integers(0, 50),
)
def test_resampled_figures_equal_those_of_scikit_learn(
    rows: list[tuple[int, bool, int]], seed: int
) -> None:
    score = np.array([float(row[0]) for row in rows])
    defective = np.array([row[1] for row in rows])
    groups = np.array([row[2] for row in rows])
    if defective.all() or not defective.any():
        return
    areas, precisions = ranking.resampled(score, defective, groups, 5, seed)
    expected = []
    for weights in np.concatenate(list(resamples(groups, 5, seed))):
        if weights[defective].sum() and weights[~defective].sum():
            expected.append(
                (
                    roc_auc_score(defective, score, sample_weight=weights),
                    average_precision_score(defective, score, sample_weight=weights),
                )
            )
    assert list(areas) == pytest.approx([pair[0] for pair in expected])
    assert list(precisions) == pytest.approx([pair[1] for pair in expected])


def test_values_are_those_of_scikit_learn_and_lie_in_their_intervals() -> None:
    score, defective, groups = _sample(np.random.default_rng(0), 1.5, (20, 30), 3, 0.5)
    area = ranking.auroc(score, defective, groups, 0.95)
    precision = ranking.average_precision(score, defective, groups, 0.95)
    assert area.value == roc_auc_score(defective, score)
    assert precision.value == average_precision_score(defective, score)
    for found in (area, precision):
        assert 0 < found.low < found.value < found.high < 1


def test_worked_by_hand() -> None:
    # Defects at 3 and 1, good ones at 2 and 0: three of four pairs are in order; precision is 1 at
    # the first defect and 2/3 at the second.
    score, defective = np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False])
    groups = np.arange(4)
    assert ranking.auroc(score, defective, groups, 0.95).value == 0.75
    assert ranking.average_precision(score, defective, groups, 0.95).value == pytest.approx(5 / 6)


def test_equal_inputs_give_equal_intervals() -> None:
    sample = _sample(np.random.default_rng(0), 1.5, (9, 9), 2, 0.5)
    assert ranking.auroc(*sample, 0.95) == ranking.auroc(*sample, 0.95)


def test_frames_of_one_part_widen_the_interval() -> None:
    score, defective, groups = _sample(np.random.default_rng(3), 1.5, (20, 30), 6, 0.95)
    together = ranking.auroc(score, defective, groups, 0.95)
    apart = ranking.auroc(score, defective, np.arange(len(score)), 0.95)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


@pytest.mark.parametrize("distance", [9.0, -9.0])
def test_a_perfect_ranking_of_few_groups_says_little(distance: float) -> None:
    score, defective, groups = _sample(np.random.default_rng(0), distance, (6, 6), 5, 0.9)
    area = ranking.auroc(score, defective, groups, 0.95)
    assert area.value in (0.0, 1.0)
    assert area.high - area.low > 0.2


def test_the_rarer_label_decides_how_much_is_known() -> None:
    defective = np.arange(26) < 6
    found = ranking.auroc(defective.astype(np.float64), defective, np.arange(26), 0.95)
    assert (found.low, found.high) == auroc_interval(1.0, 1.0, (6, 20), 5, 0.95)


def test_a_perfect_precision_of_few_groups_says_little() -> None:
    score, defective, groups = _sample(np.random.default_rng(0), 9.0, (6, 6), 5, 0.9)
    found = ranking.average_precision(score, defective, groups, 0.95)
    assert found.value == found.high == 1.0
    assert found.low < 0.7


@pytest.mark.parametrize(
    ("distance", "groups", "size", "icc"),
    [
        (1.2, (20, 28), 6, 0.8),
        (3.0, (20, 28), 6, 0.8),
        (4.0, (20, 28), 1, 0.0),
        (2.2, (10, 10), 3, 0.5),
        (1.5, (5, 5), 10, 0.3),
    ],
)
def test_the_auroc_is_covered(
    monkeypatch: pytest.MonkeyPatch,
    distance: float,
    groups: tuple[int, int],
    size: int,
    icc: float,
) -> None:
    monkeypatch.setattr(ranking, "RESAMPLES", 200)
    rng, runs = np.random.default_rng(4), 150
    truth = norm.cdf(distance / np.sqrt(2))
    found = [ranking.auroc(*_sample(rng, distance, groups, size, icc), 0.95) for _ in range(runs)]
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert covered >= 0.92  # 0.95 less two standard errors of 150 runs
