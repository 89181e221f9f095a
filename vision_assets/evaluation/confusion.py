"""What frames are and what they are taken for, per defect class.

A defect that nobody named has the class ``defect``, which is also the only class of a line without
classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl
from sklearn.metrics import roc_auc_score

from inspection.decision import Label
from vision_assets.evaluation import rates
from vision_assets.evaluation.figures import ClassFigures, Confusion

GOOD = "good"
UNNAMED = "defect"

# Not the word REVIEW: a class may be called so.
_OPEN = None


def named(frames: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """`frames` with every defect named and a column ``taken``: what each frame is taken for.

    That is ``good`` when it is passed, else the class of the highest score.

    Args:
        frames: Columns ``label``, ``classes``, ``verdict`` and ``class_scores``.
        classes: In the order of ``class_scores``.
    """
    is_unnamed = (pl.col("label") == "defect") & (pl.col("classes").list.len() == 0)
    highest = [classes[index] for index in frames["class_scores"].list.arg_max()]
    return frames.with_columns(
        pl.when(is_unnamed).then(pl.lit([UNNAMED])).otherwise("classes").alias("classes"),
        pl.when(pl.col("verdict") == Label.PASS.value)
        .then(pl.lit(GOOD))
        .otherwise(pl.Series("taken", highest, dtype=pl.String))
        .alias("taken"),
    )


def confusion(frames: pl.DataFrame, classes: Sequence[str]) -> Confusion:
    """Frames by what they are and what they are taken for; those in the review band apart.

    A frame with several defects is what it was taken for when that is among them, else the first.

    Args:
        frames: As `named` gives them.
        classes: In the order of ``class_scores``.

    Returns:
        The last column, REVIEW, counts frames that a person is to look at: nobody has taken them
        for anything yet.
    """
    pairs = Counter(
        (_kind(label, names, taken), _OPEN if verdict == Label.REVIEW.value else taken)
        for label, names, taken, verdict in frames.select(
            "label", "classes", "taken", "verdict"
        ).iter_rows()
    )
    known = (GOOD, *classes)
    rows = (*known, *sorted({kind for kind, _ in pairs} - set(known)))
    counts = tuple(tuple(pairs[row, column] for column in (*known, _OPEN)) for row in rows)
    return Confusion(rows=rows, columns=(*known, Label.REVIEW.value), counts=counts)


def _kind(label: str, names: Sequence[str], taken: str) -> str:
    if label != "defect":
        return GOOD
    return taken if taken in names else names[0]


def class_figures(
    frames: pl.DataFrame, parts: pl.DataFrame, name: str, unit: str, confidence: float
) -> ClassFigures:
    """Figures of one defect class.

    Args:
        frames: As `named` gives them, with ``score``.
        parts: As `rates.to_parts` gives them.
        name: Of the class.
        unit: ``part`` or ``group``, what is alike.
        confidence: Of the intervals.
    """
    mine = frames.filter(pl.col("classes").list.contains(name))
    of_parts = parts.filter(pl.col("classes").list.contains(name))
    against = pl.concat([mine, frames.filter(pl.col("label") != "defect")])
    both = against["label"].n_unique() == 2
    return ClassFigures(
        name=name,
        frames=len(mine),
        parts=len(of_parts),
        escapes=rates.escapes(of_parts, unit, confidence),
        recall=rates.rate((mine["taken"] == name).to_numpy(), confidence),
        auroc=float(roc_auc_score(against["label"] == "defect", against["score"]))
        if both
        else None,
    )
