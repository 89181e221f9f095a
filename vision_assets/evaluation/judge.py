"""Outputs to verdicts: the rule chosen on `calibrate`, then applied to every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from inspection.decision import Rule, Thresholds, Verdict, decide
from inspection.outputs import Outputs
from store.errors import InvalidInput
from vision_assets.config import LineConfig
from vision_assets.evaluation import rates, threshold
from vision_assets.evaluation.figures import Measured
from vision_assets.evaluation.metrics import measure
from vision_assets.evaluation.predict import ROLES

_OF_SNAPSHOT = (
    "frame_id",
    "part",
    "group",
    "batch",
    "camera",
    "product",
    "role",
    "label",
    "classes",
)
_FEW = 10


@dataclass(frozen=True)
class Judged:
    """Frames with their verdicts, and what follows from them.

    Attributes:
        predictions: One row a frame; columns as `evaluate` says.
        rule: With the review band.
        measured: Figures of the role `test`.
        unreadable: Why frames were refused, by frame id.
        warnings: What a person should know.
    """

    predictions: pl.DataFrame
    rule: Rule
    measured: Measured
    unreadable: Mapping[str, str]
    warnings: tuple[str, ...]


def judge(
    rows: pl.DataFrame, outputs: pl.DataFrame, classes: Sequence[str], settings: LineConfig
) -> Judged:
    """The rule from the role `calibrate`, the verdicts it gives, and their figures on `test`.

    Args:
        rows: Of `snapshot.frames`.
        outputs: Of `predict.outputs` for their roles `calibrate` and `test`.
        classes: In the order of ``class_scores``.
        settings: The line's costs, limits, cameras and products.

    Raises:
        InvalidInput: when a score is not finite, or no test frame can be read.
    """
    refused = outputs.filter(pl.col("reason").is_not_null())
    frames = rows.select(_OF_SNAPSHOT).join(
        outputs.filter(pl.col("reason").is_null()).select("frame_id", "score", "class_scores"),
        on="frame_id",
        maintain_order="left",
    )
    _check(frames)
    chosen = threshold.choose(frames.filter(pl.col("role") == "calibrate"), settings)
    rule = Rule(default=chosen.banded, products=settings.products, cameras=settings.cameras)
    predictions = with_verdicts(frames, rule, chosen.closed, classes)
    test = predictions.filter(pl.col("role") == "test")
    measured = measure(test, chosen, classes, settings)
    unreadable = dict(refused.select("frame_id", "reason").iter_rows())
    warnings = (*chosen.warnings, *_warnings(test, measured, len(unreadable)))
    return Judged(predictions, rule, measured, unreadable, warnings)


def with_verdicts(
    frames: pl.DataFrame,
    rule: Rule,
    closed: Thresholds,
    classes: Sequence[str],
) -> pl.DataFrame:
    """`frames` with ``p``, ``verdict`` and ``closed``, each by `inspection.decision.decide`.

    Args:
        frames: Columns ``score``, ``class_scores``, ``product`` and ``camera``.
        rule: The rule of ``verdict``.
        closed: The thresholds of ``closed``.
        classes: In the order of ``class_scores``.
    """
    found = _decide(frames, rule, classes)
    other = _decide(frames, rule.model_copy(update={"default": closed}), classes)
    return frames.with_columns(
        pl.Series("p", [verdict.score for verdict in found], dtype=pl.Float64),
        pl.Series("verdict", [verdict.label.value for verdict in found], dtype=pl.String),
        pl.Series("closed", [verdict.label.value for verdict in other], dtype=pl.String),
    )


def _decide(frames: pl.DataFrame, rule: Rule, classes: Sequence[str]) -> list[Verdict]:
    names = tuple(classes)
    columns = frames.select("score", "class_scores", "product", "camera")
    return [
        decide(_outputs(score, scores), names, rule, product or "", camera or "")
        for score, scores, product, camera in columns.iter_rows()
    ]


def _outputs(score: float, class_scores: Sequence[float]) -> Outputs:
    """Of one frame; embedding and map do not change a verdict."""
    return Outputs(
        np.array([score], np.float32),
        np.array([class_scores], np.float32),
        np.zeros((1, 0), np.float32),
        np.zeros((1, 1, 1), np.float32),
    )


def _check(frames: pl.DataFrame) -> None:
    wild = frames.filter(~pl.col("score").is_finite())
    if len(wild):
        raise InvalidInput(
            f"{len(wild)} of {len(frames)} scores are not finite (first: frame "
            f"{wild['frame_id'][0]}): the training diverged; lower training.learning_rate and "
            "train again"
        )
    if frames.filter(pl.col("role") == "test").is_empty():
        raise InvalidInput(
            "no frame of the role test can be judged: deliver more labelled batches, or raise "
            f"split.test (roles judged here: {', '.join(ROLES)})"
        )


def _warnings(test: pl.DataFrame, measured: Measured, unreadable: int) -> list[str]:
    """What weakens the figures."""
    found = []
    for what, rate in (("defective", measured.escapes), ("good", measured.overkill)):
        if rate.of < _FEW:
            found.append(f"role test has {rate.of} {what} parts: too few to say much")
    if unreadable:
        found.append(f"{unreadable} frames do not fit the contract and are in no figure")
    groups, parts = test["group"].n_unique(), test["part"].n_unique()
    if measured.resampled == "part" and groups < parts:
        found.append(
            f"role test has {parts} parts in {groups} groups: fewer than {rates.FEWEST_GROUPS} "
            "groups of a label cannot tell how alike their parts are, so intervals take parts as "
            "independent and may be too narrow"
        )
    return found
