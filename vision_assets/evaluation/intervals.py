"""Intervals that hold for few parts, for rates near 0 or 1, and for parts that are not independent.

Parts of one group (frames of one tile, parts of one batch) resemble each other: a hundred of them
tell less than a hundred strangers. Rates therefore count an effective number of parts, and ranking
figures are resampled by whole groups. Coverage is simulated in the tests; figures are in
docs/decisions/0006-decision-rule.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta, rankdata
from scipy.stats import t as student

from store.errors import InvalidInput

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EDGE = 1e-9
_MOST_ELEMENTS = 4 * 2**20


def clopper_pearson(count: float, of: float, confidence: float) -> tuple[float, float]:
    """The exact two-sided interval of a rate (Clopper & Pearson 1934, Biometrika 26:404).

    low solves P(X >= count) = alpha/2, high solves P(X <= count) = alpha/2, X ~ Binomial(of, rate);
    both are quantiles of beta distributions. Without any trial the interval is [0, 1].

    Args:
        count: Events; a fraction when `of` is an effective number.
        of: Trials.
        confidence: Such as 0.95.

    Raises:
        InvalidInput: when not 0 <= count <= of, or not 0 < confidence < 1.

    >>> low, high = clopper_pearson(0, 10, 0.95)
    >>> low, round(high, 4)
    (0.0, 0.3085)
    """
    _check(count, of, confidence)
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, of - count + 1)) if count > 0 else 0.0
    return low, _upper(count, of, tail)


def upper_bound(count: float, of: float, confidence: float) -> float:
    """The exact one-sided upper bound of a rate: with 0 of n it is 1 - (1 - confidence)^(1/n).

    Raises:
        InvalidInput: as `clopper_pearson`.

    >>> round(upper_bound(0, 29, 0.95), 4), round(1 - 0.05 ** (1 / 29), 4)
    (0.0981, 0.0981)
    """
    _check(count, of, confidence)
    return _upper(count, of, 1 - confidence)


def design_effect(score: Floats, groups: Ints) -> float:
    """How many grouped parts tell as much as one independent part; at least 1.

    1 + (m - 1) · ICC (Kish 1965), with m the size of the group that a part is in, on average, and
    ICC the intraclass correlation of the ranks of their scores (one-way analysis of variance).
    Scores are more alike than the verdicts they lead to, and tell so even when no part failed.

    Args:
        score: (n,) float64 of parts of one label, n > 0.
        groups: (n,) int64, a number for each group.
    """
    parts = len(score)
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    count = len(sizes)
    if count == parts:
        return 1.0
    size = float((sizes**2).sum()) / parts
    if count == 1:
        return size
    rank = rankdata(score)
    means = np.bincount(member, weights=rank) / sizes
    between = float((sizes * (means - rank.mean()) ** 2).sum()) / (count - 1)
    within = float(((rank - means[member]) ** 2).sum()) / (parts - count)
    usual = (parts - size) / (count - 1)
    spread = between + (usual - 1) * within
    alike = (between - within) / spread if spread > 0 else 1.0
    return 1 + (size - 1) * max(0.0, alike)


def resamples(groups: Ints, number: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn when whole groups are drawn with replacement.

    Args:
        groups: (n,) int64, a number for each group.
        number: Of resamples.
        seed: Equal seeds give equal draws.

    Yields:
        (some, n) float64 with `number` rows in all; never more than 32 MiB at once.
    """
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    rng = np.random.default_rng(seed)
    step = max(1, _MOST_ELEMENTS // len(groups))
    for done in range(0, number, step):
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=min(step, number - done))
        yield drawn.astype(np.float64)[:, member]


def percentiles(values: Floats, confidence: float) -> tuple[float, float]:
    """The percentile interval of bootstrap values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def auroc_interval(
    value: float, effect: float, frames: tuple[int, int], freedom: int, confidence: float
) -> tuple[float, float]:
    """A score interval of an AUROC.

    The percentiles of a bootstrap are far too narrow near 1, where no resample can show the errors
    that the sample lacks. So low and high solve (value - A)² = t² · effect · V(A) for A, with V the
    `auroc_variance` at A (Newcombe 2006, Statistics in Medicine 25:559, method 5).

    Args:
        value: The AUROC.
        effect: The variance of `value` over that of as many independent frames.
        frames: How many defective and good ones.
        freedom: Degrees of freedom of t, at least 1.
        confidence: Such as 0.95.

    >>> low, high = auroc_interval(1.0, 1.0, (20, 28), 19, 0.95)
    >>> round(low, 2), high
    (0.9, 1.0)
    """
    factor = float(student.ppf((1 + confidence) / 2, freedom)) ** 2 * effect

    def beyond(area: float) -> float:
        return (value - area) ** 2 - factor * auroc_variance(area, frames)

    low = brentq(beyond, 0.0, min(value, 1 - _EDGE)) if value > _EDGE else 0.0
    high = brentq(beyond, max(value, _EDGE), 1.0) if value < 1 - _EDGE else 1.0
    return float(low), float(high)


def auroc_variance(area: float, frames: tuple[int, int]) -> float:
    """The variance of an AUROC of independent frames (Hanley & McNeil 1982, Radiology 143:29).

    V(A) = A(1-A) / mn · (1 + N (1-A)/(2-A) + N A/(1+A)) with Newcombe's N = (m+n)/2 - 1.

    Args:
        area: A, in [0, 1].
        frames: m defective and n good ones.
    """
    defective, good = frames
    half = (defective + good) / 2 - 1
    spread = 1 + half * (1 - area) / (2 - area) + half * area / (1 + area)
    return area * (1 - area) / (defective * good) * spread


def _upper(count: float, of: float, tail: float) -> float:
    return float(beta.ppf(1 - tail, count + 1, of - count)) if count < of else 1.0


def _check(count: float, of: float, confidence: float) -> None:
    if not 0 <= count <= of:
        raise InvalidInput(f"found {count} of {of}, expected 0 <= count <= of")
    if not 0 < confidence < 1:
        raise InvalidInput(f"confidence is {confidence}, expected a share such as 0.95")
