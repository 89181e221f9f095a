"""Rates per part: a part is as bad as its worst frame, in truth and in verdict.

A part is a serial within its batch (`vision_assets.dataset.snapshot`): the line decides anew
whenever a part passes, so the REJECT of one hides no escape of another.

REVIEW is neither an escape nor an overkill; its share is a rate of its own.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from inspection.decision import Label, worst
from vision_assets.config import CostSettings
from vision_assets.evaluation.figures import Rate
from vision_assets.evaluation.intervals import Bools, Floats, Ints, clopper_pearson, design_effect

# With fewer groups of a label, nobody can tell how alike their parts are (coverage in the decision
# page); parts are taken as independent then, and a warning says so.
FEWEST_GROUPS = 5


def rate(failed: Bools, confidence: float, effect: float = 1.0) -> Rate:
    """How many of some parts failed, with the exact interval of their effective number.

    Args:
        failed: (n,) bool.
        confidence: Of the interval.
        effect: How many of them tell as much as one independent part, as `design_effect` says.
    """
    count, of = int(failed.sum()), len(failed)
    effective, share = of / effect, count / of if of else None
    low, high = clopper_pearson((share or 0.0) * effective, effective, confidence)
    return Rate(count=count, of=of, rate=share, low=low, high=high, effective=effective)


def to_parts(frames: pl.DataFrame) -> pl.DataFrame:
    """One row a part.

    Args:
        frames: Columns ``part``, ``group``, ``label``, ``classes``, ``p``, ``verdict`` and
            ``closed`` (the verdict with the band closed).

    Returns:
        ``part``, ``group``, ``defective`` (any frame is), ``classes`` (of any frame), ``p`` (the
        highest), ``verdict`` and ``closed`` (the worst), sorted by part.
    """
    parts = (
        frames.group_by("part")
        .agg(
            pl.col("group").first(),
            (pl.col("label") == "defect").any().alias("defective"),
            pl.col("classes").list.explode(empty_as_null=False).unique().sort(),
            pl.col("p").max(),
            pl.col("verdict"),
            pl.col("closed"),
        )
        .sort("part")
    )
    return parts.with_columns(_worst(parts["verdict"]), _worst(parts["closed"]))


def _worst(verdicts: pl.Series) -> pl.Series:
    found = [worst(map(Label, each)).value for each in verdicts]
    return pl.Series(verdicts.name, found, dtype=pl.String)


def unit_to_resample(frames: pl.DataFrame) -> str:
    """``group`` when enough groups hold each label to tell how alike their parts are; or ``part``.

    Args:
        frames: Columns ``group`` and ``label``.
    """
    defective = frames.filter(pl.col("label") == "defect")["group"].n_unique()
    good = frames.filter(pl.col("label") != "defect")["group"].n_unique()
    return "group" if min(defective, good) >= FEWEST_GROUPS else "part"


def numbered(names: pl.Series) -> Ints:
    """A number for each distinct name."""
    return np.unique(names.to_numpy(), return_inverse=True)[1].astype(np.int64)


def escapes(parts: pl.DataFrame, unit: str, confidence: float, verdict: str = "verdict") -> Rate:
    """Defective parts that were passed, of all defective parts.

    Args:
        parts: As `to_parts` gives them.
        unit: ``part`` or ``group``, as `unit_to_resample` says.
        confidence: Of the interval.
        verdict: The column to look at.
    """
    return _share(parts.filter("defective"), Label.PASS, unit, confidence, verdict)


def overkill(parts: pl.DataFrame, unit: str, confidence: float, verdict: str = "verdict") -> Rate:
    """Good parts that were rejected, of all good parts (arguments as in `escapes`)."""
    return _share(parts.filter(~pl.col("defective")), Label.REJECT, unit, confidence, verdict)


def review(parts: pl.DataFrame, unit: str, confidence: float) -> Rate:
    """Parts that a person looks at, of all parts (arguments as in `escapes`)."""
    return _share(parts, Label.REVIEW, unit, confidence, "verdict")


def _share(parts: pl.DataFrame, label: Label, unit: str, confidence: float, verdict: str) -> Rate:
    effect = design_effect(parts["p"].to_numpy(), numbered(parts[unit])) if len(parts) else 1.0
    return rate(having(parts, verdict, label), confidence, effect)


def cost_of_parts(parts: pl.DataFrame, costs: CostSettings, verdict: str = "verdict") -> Floats:
    """What each part's verdict costs, (n,) float64; a right verdict costs nothing.

    >>> row = {"defective": [True, False, True], "verdict": ["PASS", "PASS", "REVIEW"]}
    >>> cost_of_parts(pl.DataFrame(row), CostSettings(escape=50, overkill=1, review=0.5))
    array([50. ,  0. ,  0.5])
    """
    defective = parts["defective"].to_numpy()
    escaped = defective & having(parts, verdict, Label.PASS)
    killed = ~defective & having(parts, verdict, Label.REJECT)
    seen = having(parts, verdict, Label.REVIEW)
    found = costs.escape * escaped + costs.overkill * killed + costs.review * seen
    return np.asarray(found, np.float64)


def f2(parts: pl.DataFrame) -> float | None:
    """F2 of rejecting defective parts with the band closed; None without a defective part.

    F2 = 5 TP / (5 TP + 4 FN + FP): a missed defect weighs four times a false alarm.
    """
    defective = parts["defective"].to_numpy()
    rejected = having(parts, "closed", Label.REJECT)
    hit, missed = int((defective & rejected).sum()), int((defective & ~rejected).sum())
    false = int((~defective & rejected).sum())
    return 5 * hit / (5 * hit + 4 * missed + false) if hit + missed else None


def having(rows: pl.DataFrame, column: str, label: Label) -> Bools:
    """Whether each row's verdict in `column` is `label`, (n,) bool."""
    return np.asarray((rows[column] == label.value).to_numpy(), np.bool_)
