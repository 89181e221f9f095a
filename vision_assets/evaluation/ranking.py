"""How well scores rank defective frames above good ones, whatever the thresholds.

Both figures take their variance from whole groups drawn with replacement. The percentiles of such
draws are no interval: near 1 no draw can show the errors that the sample lacks (coverage in
docs/decisions/0006-decision-rule.md), so the variance goes into intervals that know of the edge.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from vision_assets.evaluation.figures import Estimate
from vision_assets.evaluation.intervals import (
    Bools,
    Floats,
    Ints,
    auroc_interval,
    auroc_variance,
    clopper_pearson,
    design_effect,
    resamples,
)

RESAMPLES = 1000
SEED = 0
_VARIANCE = f"with the variance of {RESAMPLES} bootstrap resamples of groups"


def auroc(score: Floats, defective: Bools, groups: Ints, confidence: float) -> Estimate:
    """The AUROC of frames with `auroc_interval`.

    Args:
        score: (n,) float64, rises with badness.
        defective: (n,) bool, with both labels present.
        groups: (n,) int64, what is resampled together.
        confidence: Of the interval.
    """
    area = float(roc_auc_score(defective, score))
    frames = int(defective.sum()), int((~defective).sum())
    if 0 < area < 1:
        values, _ = resampled(score, defective, groups, RESAMPLES, SEED)
        effect = max(1.0, float(np.var(values)) / auroc_variance(area, frames))
    else:
        effect = max(design_effect(score[of], groups[of]) for of in (defective, ~defective))
    rarer = min(len(np.unique(groups[of])) for of in (defective, ~defective))
    low, high = auroc_interval(area, effect, frames, max(1, rarer - 1), confidence)
    return Estimate(value=area, low=low, high=high, method=f"score interval {_VARIANCE}")


def average_precision(score: Floats, defective: Bools, groups: Ints, confidence: float) -> Estimate:
    """The average precision of frames (arguments as in `auroc`).

    Its interval is the exact one of a rate over the effective number of defective frames (the
    binomial interval of Boyd, Eng & Page 2013, ECML PKDD, LNCS 8190:451).
    """
    value = float(average_precision_score(defective, score))
    frames = int(defective.sum())
    if value < 1:
        _, values = resampled(score, defective, groups, RESAMPLES, SEED)
        effect = max(1.0, float(np.var(values)) * frames / (value * (1 - value)))
    else:
        effect = design_effect(score[defective], groups[defective])
    low, high = clopper_pearson(value * frames / effect, frames / effect, confidence)
    return Estimate(value=value, low=low, high=high, method=f"binomial interval {_VARIANCE}")


def resampled(
    score: Floats, defective: Bools, groups: Ints, number: int, seed: int
) -> tuple[Floats, Floats]:
    """AUROC and average precision of each resample of whole groups that holds both labels.

    Returns:
        Two (at most `number`,) float64.
    """
    order = np.argsort(-score, kind="stable")
    ranked, is_bad = score[order], defective[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    areas, precisions = [], []
    for weights in resamples(groups[order], number, seed):
        bad = np.add.reduceat(weights * is_bad, starts, axis=1)
        good = np.add.reduceat(weights * ~is_bad, starts, axis=1)
        both = (bad.sum(axis=1) > 0) & (good.sum(axis=1) > 0)
        areas.append(_areas(bad[both], good[both]))
        precisions.append(_precisions(bad[both], good[both]))
    return np.concatenate(areas), np.concatenate(precisions)


def _areas(bad: Floats, good: Floats) -> Floats:
    """P(a defective frame scores above a good one), ties half; columns from high to low score."""
    above = np.cumsum(bad, axis=1) - bad / 2
    pairs = bad.sum(axis=1) * good.sum(axis=1)
    return np.asarray((good * above).sum(axis=1) / pairs, np.float64)


def _precisions(bad: Floats, good: Floats) -> Floats:
    """Sum over scores of precision times the step in recall; columns from high to low score."""
    caught = np.cumsum(bad, axis=1)
    taken = np.maximum(1, caught + np.cumsum(good, axis=1))
    precise = (caught / taken * bad).sum(axis=1)
    return np.asarray(precise / bad.sum(axis=1), np.float64)
