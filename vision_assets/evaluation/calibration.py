"""Raw scores to probabilities, and how far they are probabilities.

Fitted on the role `calibrate` only; applied by `inspection.decision.Thresholds.calibrated`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from vision_assets.evaluation.figures import Bin
from vision_assets.evaluation.intervals import Bools, Floats
from vision_assets.evaluation.rates import rate

FORMULA = "p = 1 / (1 + exp(-(score / temperature + bias)))"
BINS = 10

# Standard deviation of the prior on ln(slope), for scores scaled to a deviation of 1. Weak: a slope
# of 7 or 1/7 costs half a nat, less than one part that is called a coin toss.
_PRIOR = 2.0
# Keeps exp() finite while the minimiser looks around; the prior holds the answer far inside.
_MOST = 30.0


@dataclass(frozen=True)
class Scale:
    """p = sigmoid(score / temperature + bias)."""

    temperature: float
    bias: float


def fit(score: Floats, defective: Bools, weight: Floats) -> Scale:
    """The scale that makes scores probabilities (Platt 1999, with temperature > 0).

    Minimises, over a = ln(slope) and bias b of the standardised scores,

        - sum w (t ln p + (1 - t) ln(1 - p)) + a² / (2 · 2²)

    with Platt's targets t = (n₊ + 1) / (n₊ + 2) for defects and 1 / (n₋ + 2) for good ones, n being
    sums of weights: they, and the prior on the slope, keep p away from 0 and 1 when few parts are
    separated perfectly. Scaling or shifting all scores gives the same probabilities.

    Args:
        score: (n,) float64.
        defective: (n,) bool, with both labels present.
        weight: (n,) float64; frames of one part share a weight of 1.
    """
    centre, spread = float(np.average(score, weights=weight)), float(np.std(score)) or 1.0
    standard = (score - centre) / spread
    bad, good = float(weight[defective].sum()), float(weight[~defective].sum())
    target = np.where(defective, (bad + 1) / (bad + 2), 1 / (good + 2))

    def loss(scale: Floats) -> tuple[float, Floats]:
        slope = np.exp(np.clip(scale[0], -_MOST, _MOST))
        logit = slope * standard + scale[1]
        value = (weight * (np.logaddexp(0, logit) - target * logit)).sum()
        error = weight * (expit(logit) - target)
        gradient = [(error * standard).sum() * slope + scale[0] / _PRIOR**2, error.sum()]
        return float(value + scale[0] ** 2 / (2 * _PRIOR**2)), np.array(gradient)

    start = np.array([0.0, np.log(bad / good)])
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-8}).x
    slope = float(np.exp(found[0])) / spread
    return Scale(temperature=1 / slope, bias=float(found[1]) - slope * centre)


def reliability(p: Floats, defective: Bools, confidence: float) -> tuple[Bin, ...]:
    """Ten bins of equal width; empty ones are left out.

    Args:
        p: (n,) float64 in [0, 1].
        defective: (n,) bool.
        confidence: Of each bin's exact interval, frames taken as independent.
    """
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            from_p=int(index) / BINS,
            to_p=(int(index) + 1) / BINS,
            frames=int((place == index).sum()),
            mean_p=float(p[place == index].mean()),
            defective=rate(defective[place == index], confidence),
        )
        for index in np.unique(place)
    )


def expected_error(bins: tuple[Bin, ...]) -> float:
    """Expected calibration error: sum of share of frames · |defective share - mean p|."""
    frames = sum(part.frames for part in bins)
    gaps = [part.frames * abs((part.defective.rate or 0.0) - part.mean_p) for part in bins]
    return sum(gaps) / frames
