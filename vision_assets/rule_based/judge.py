"""Thresholds of a rule-based check from the role `calibrate`, and whether it is of any use."""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl
from sklearn.metrics import roc_auc_score

from inspection.decision import Rule, Thresholds
from vision_assets.config import LineConfig
from vision_assets.evaluation import threshold

FEWEST = 10
"""Good parts below which nothing is concluded from them."""

FEWEST_DEFECTIVE = 5
"""Defective parts below which thresholds come from the good ones alone."""

LEAST_PASSED = 0.5
"""Share of good parts that a check must pass to be of use; whatever it does not know is REVIEW."""

LEAST_SIGHTED = 0.5
SIGHTED_LEVELS = 64
LEAST_CORRELATION = 0.5

# A good part seen later is heavier than the heaviest of ten by half, one time in some tens.
_MARGIN, _SLACK_PX, _REJECT = 1.5, 0.5, 3.0

EVERYTHING_REVIEWED = Thresholds(temperature=1.0, bias=0.0, pass_below=0.0, reject_from=1.0)


@dataclass(frozen=True)
class Judged:
    """What a check may do.

    Attributes:
        rule: Its thresholds; everything is REVIEW when it is of no use.
        why: Why it is of no use; empty when it is.
        figures: What that was concluded from, on `calibrate`.
    """

    rule: Rule
    why: str
    figures: dict[str, float | int | None]


def judge(frames: pl.DataFrame, settings: LineConfig, sighted: float) -> Judged:
    """The rule of a check, and whether it may answer with anything but REVIEW.

    Args:
        frames: Of the role `calibrate`: columns ``part``, ``label``, ``score`` (ln(1 + mass)),
            ``is_outside`` (a measure leaves its limits) and ``correlation`` (with the template).
        settings: The line's costs, limits, cameras and products.
        sighted: Share of the templates' pixels where a change of `SIGHTED_LEVELS` is seen.
    """
    thresholds = thresholds_of(frames, settings)
    figures = _figures(frames, thresholds) | {"sighted_share": sighted}
    why = _useless(figures, settings)
    default = EVERYTHING_REVIEWED if why else thresholds
    return Judged(
        Rule(default=default, products=settings.products, cameras=settings.cameras), why, figures
    )


def separation(frames: pl.DataFrame) -> float:
    """How well scores tell defective frames from good ones: AUROC; 0.5 without enough defects.

    Args:
        frames: As for `judge`.
    """
    bad = (frames["label"] == "defect").to_numpy()
    if len(_parts(frames)[1]) < FEWEST_DEFECTIVE or bad.all():
        return 0.5
    return float(roc_auc_score(bad, frames["score"].to_numpy()))


def thresholds_of(frames: pl.DataFrame, settings: LineConfig) -> Thresholds:
    """Thresholds on ln(1 + mass).

    With `FEWEST_DEFECTIVE` defective parts as a model's (docs/decisions/0006). With fewer from the
    good parts alone: a mass half as large again as the largest of them, and half a pixel more,
    still passes, three times as much is REJECT. With fewer good parts everything is REVIEW.
    """
    good, bad = _parts(frames)
    if len(good) < FEWEST:
        return EVERYTHING_REVIEWED
    if len(bad) >= FEWEST_DEFECTIVE:
        return threshold.choose(frames, settings).banded
    most = _MARGIN * math.expm1(float(good["score"].to_numpy().max())) + _SLACK_PX
    return Thresholds(
        temperature=1.0,
        bias=-math.log1p(most),
        pass_below=0.5,
        reject_from=Thresholds(
            temperature=1.0, bias=-math.log1p(most), pass_below=0, reject_from=1
        ).calibrated(math.log1p(_REJECT * most)),
    )


def _parts(frames: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good and defective parts, each with its worst score and whether any measure is outside."""
    parts = frames.group_by("part").agg(
        pl.col("score").max(),
        pl.col("is_outside").any(),
        (pl.col("label") == "defect").any().alias("defective"),
    )
    return parts.filter(~pl.col("defective")), parts.filter("defective")


def _figures(frames: pl.DataFrame, chosen: Thresholds) -> dict[str, float | int | None]:
    good, bad = (
        parts.with_columns(
            p=pl.Series([chosen.calibrated(score) for score in parts["score"]], dtype=pl.Float64)
        )
        for parts in _parts(frames)
    )
    passed = (pl.col("p") < chosen.pass_below) & ~pl.col("is_outside")
    correlation = frames.filter(pl.col("label") != "defect")["correlation"].median()
    return {
        "good_parts": len(good),
        "good_passed": len(good.filter(passed)),
        "defective_parts": len(bad),
        "defective_passed": len(bad.filter(passed)),
        "median_correlation": float(str(correlation)) if correlation is not None else None,
    }


def _useless(figures: dict[str, float | int | None], settings: LineConfig) -> str:
    """Why the check may pass nothing; empty when it may."""
    good, passed = figures["good_parts"] or 0, figures["good_passed"] or 0
    bad, escaped = figures["defective_parts"] or 0, figures["defective_passed"] or 0
    correlation, sighted = figures["median_correlation"] or 0.0, figures["sighted_share"] or 0.0
    if good < FEWEST:
        return f"role calibrate has {good} good parts for it, at least {FEWEST} are needed"
    if correlation < LEAST_CORRELATION:
        return (
            f"good parts do not look like their template (median correlation {correlation:.2f}, "
            f"at least {LEAST_CORRELATION} is needed): there is nothing to lay them on"
        )
    if passed < LEAST_PASSED * good:
        return (
            f"it would pass {passed} of {good} good parts of role calibrate, at least "
            f"{LEAST_PASSED:.0%} are needed: good parts differ from each other as defects do"
        )
    if escaped > settings.limits.max_escape_rate * bad:
        return (
            f"it would pass {escaped} of {bad} defective parts of role calibrate, the line's limit "
            f"is {settings.limits.max_escape_rate:.0%}"
        )
    if bad < FEWEST_DEFECTIVE and sighted < LEAST_SIGHTED:
        return (
            f"it would see a change of {SIGHTED_LEVELS} grey levels in {sighted:.0%} of the "
            f"template only, at least {LEAST_SIGHTED:.0%} are needed: good parts differ too much"
        )
    return ""
