"""All figures of an evaluation, from what its test frames are and what the rule made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from sklearn.metrics import brier_score_loss

from vision_assets.config import LineConfig
from vision_assets.evaluation import calibration, ranking, rates
from vision_assets.evaluation.certificate import certify
from vision_assets.evaluation.confusion import class_figures, confusion, named
from vision_assets.evaluation.figures import Band, Calibration, Measured
from vision_assets.evaluation.intervals import Bools, Floats
from vision_assets.evaluation.threshold import Chosen


def measure(
    predictions: pl.DataFrame, chosen: Chosen, classes: Sequence[str], settings: LineConfig
) -> Measured:
    """The figures of a model on the role `test`.

    Args:
        predictions: ``part``, ``group``, ``label``, ``classes``, ``score``, ``class_scores``,
            ``p``, ``verdict`` and ``closed`` (the verdict with the band closed) of its frames.
        chosen: The rule that gave the verdicts.
        classes: In the order of ``class_scores``.
        settings: The line's costs and limits.
    """
    frames = named(predictions, classes)
    parts, unit = rates.to_parts(frames), rates.unit_to_resample(frames)
    limits, costs = settings.limits, settings.costs
    sure = limits.confidence
    escapes, overkill = rates.escapes(parts, unit, sure), rates.overkill(parts, unit, sure)
    has_both = frames["label"].n_unique() == 2
    ranked = _score(frames), _defective(frames), rates.numbered(frames[unit]), sure
    return Measured(
        confidence=sure,
        resampled=unit,
        auroc=ranking.auroc(*ranked) if has_both else None,
        average_precision=ranking.average_precision(*ranked) if has_both else None,
        f2=rates.f2(parts),
        escapes=escapes,
        overkill=overkill,
        review=rates.review(parts, unit, sure),
        cost=float(rates.cost_of_parts(parts, costs).mean()),
        band_closed=Band(
            cut=chosen.closed.pass_below,
            escapes=rates.escapes(parts, unit, sure, "closed"),
            overkill=rates.overkill(parts, unit, sure, "closed"),
            cost=float(rates.cost_of_parts(parts, costs, "closed").mean()),
        ),
        per_class=tuple(
            class_figures(frames, parts, name, unit, sure) for name in settings.classes or classes
        ),
        confusion=confusion(frames, classes),
        calibration=_calibration(frames, chosen, sure),
        certificate={
            "escapes": certify(escapes, limits.max_escape_rate, sure),
            "overkill": certify(overkill, limits.max_overkill_rate, sure),
        },
    )


def _calibration(frames: pl.DataFrame, chosen: Chosen, confidence: float) -> Calibration:
    p, defective = frames["p"].to_numpy(), _defective(frames)
    bins = calibration.reliability(p, defective, confidence)
    return Calibration(
        formula=calibration.FORMULA,
        temperature=chosen.banded.temperature,
        bias=chosen.banded.bias,
        ece=calibration.expected_error(bins),
        brier=float(brier_score_loss(defective, p)),
        bins=bins,
    )


def _score(frames: pl.DataFrame) -> Floats:
    return frames["score"].to_numpy().astype(np.float64)


def _defective(frames: pl.DataFrame) -> Bools:
    return np.asarray((frames["label"] == "defect").to_numpy(), np.bool_)
