"""Is a new evaluation worse than an earlier one? Paired, on the test parts that both have judged.

Roles are sticky, so the parts of an earlier test are in a later one, and no model has trained on
them. What a part is, is taken from the new evaluation, whose labels are the newer ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from scipy.stats import binomtest

from inspection.decision import Label
from store.errors import InvalidInput
from vision_assets.config import CostSettings
from vision_assets.evaluation import rates
from vision_assets.evaluation.intervals import Bools, Floats, Ints, percentiles, resamples
from vision_assets.evaluation.ranking import RESAMPLES, SEED


@dataclass(frozen=True)
class Comparison:
    """New against old on common test parts.

    Attributes:
        parts: How many both have judged.
        cost_new: Per part.
        cost_old: Per part.
        low: Of the two-sided bootstrap interval of cost_new - cost_old.
        high: Of the same.
        new_escapes: Parts that escape now and did not before.
        mended_escapes: Parts that escaped before and do not now.
        p_escapes: How likely it is that chance alone makes so many of the differing parts new
            escapes (exact McNemar, one-sided; parts of one group count once).
        is_worse: Whether cost or escapes are worse by more than chance explains.
    """

    parts: int
    cost_new: float
    cost_old: float
    low: float
    high: float
    new_escapes: tuple[str, ...]
    mended_escapes: tuple[str, ...]
    p_escapes: float
    is_worse: bool

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        found = asdict(self)
        names = ("new_escapes", "mended_escapes")
        return {**found, **{name: list(found[name]) for name in names}}


def compare(
    new: pl.DataFrame, old: pl.DataFrame, costs: CostSettings, confidence: float
) -> Comparison:
    """Two evaluations, paired by part.

    Worse is what chance explains with less than 1 - confidence: half of that risk goes to the cost
    (its interval lies above 0), half to the escapes (McNemar).

    Args:
        new: Predictions; columns as `evaluate` says.
        old: Predictions of the earlier evaluation.
        costs: What each mistake costs, for both.
        confidence: Such as 0.95.

    Raises:
        InvalidInput: when they have no test frame in common.
    """
    before, after, unit = _paired(new, old)
    cost_old, cost_new = rates.cost_of_parts(before, costs), rates.cost_of_parts(after, costs)
    groups = rates.numbered(after[unit])
    low, high = percentiles(_resampled_means(cost_new - cost_old, groups), confidence)
    escaped, escapes = _escaped(before), _escaped(after)
    change = escapes.astype(np.int64) - escaped.astype(np.int64)
    p_escapes = _mcnemar(change, groups)
    return Comparison(
        parts=len(after),
        cost_new=float(cost_new.mean()),
        cost_old=float(cost_old.mean()),
        low=low,
        high=high,
        new_escapes=tuple(after.filter(change > 0)["part"]),
        mended_escapes=tuple(after.filter(change < 0)["part"]),
        p_escapes=p_escapes,
        is_worse=low > 0 or p_escapes < (1 - confidence) / 2,
    )


def _paired(new: pl.DataFrame, old: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """The common test parts as the old and the new one judged them, in one order."""
    verdicts = ["p", "verdict", "closed"]
    earlier = old.filter(pl.col("role") == "test").select("frame_id", *verdicts)
    frames = new.filter(pl.col("role") == "test").join(
        earlier, on="frame_id", suffix="_old", maintain_order="left"
    )
    if frames.is_empty():
        raise InvalidInput(
            "the two evaluations have no test frame in common, so they cannot be compared"
        )
    as_before = frames.with_columns(pl.col(f"{name}_old").alias(name) for name in verdicts)
    return rates.to_parts(as_before), rates.to_parts(frames), rates.unit_to_resample(frames)


def _resampled_means(values: Floats, groups: Ints) -> Floats:
    means = [
        (weights @ values) / weights.sum(axis=1) for weights in resamples(groups, RESAMPLES, SEED)
    ]
    return np.concatenate(means)


def _escaped(parts: pl.DataFrame) -> Bools:
    return parts["defective"].to_numpy() & rates.having(parts, "verdict", Label.PASS)


def _mcnemar(change: Ints, groups: Ints) -> float:
    """P(at least so many of the groups that changed got worse), each way being as likely."""
    net = np.bincount(groups, weights=change)
    worse, better = int((net > 0).sum()), int((net < 0).sum())
    if worse + better == 0:
        return 1.0
    return float(binomtest(worse, worse + better, 0.5, alternative="greater").pvalue)
