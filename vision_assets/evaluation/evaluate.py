"""Model -> evaluation: predictions, the decision rule, every figure and the pictures.

``evaluations/{name}/`` holds ``predictions.parquet``, ``rule.json``, ``evaluation.json`` and
pictures. Columns of the predictions, one row a frame of the roles `calibrate` and `test`:
``frame_id``, ``part``, ``group``, ``batch``, ``camera``, ``product``, ``role``, ``label``,
``classes``, ``score`` (raw), ``class_scores``, ``p`` (calibrated), ``verdict`` and ``closed`` (the
verdict with the review band closed).
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from inspection.contract import Contract
from store import artifacts, tables
from store.artifacts import Artifact
from store.hashing import canonical_json, content_name
from store.keys import LineKey
from store.root import Store
from vision_assets import config, process
from vision_assets.config import LineConfig
from vision_assets.dataset import snapshot
from vision_assets.evaluation import masked, pictures, predict, ranking, worst
from vision_assets.evaluation.figures import Count, Evaluation
from vision_assets.evaluation.judge import Judged, judge
from vision_assets.progress import Progress, silent

KIND = "evaluations"
# Raised when the same model and settings would give another rule or other figures.
VERSION = "3"
PREDICTIONS = "predictions.parquet"
RULE = "rule.json"
FIGURES = "evaluation.json"

_CHILD = "vision_assets.evaluation.predict"


def evaluate(store: Store, line: LineKey, model: str, progress: Progress = silent) -> Artifact:
    """The evaluation of a model on its snapshot, with the line's present costs and limits.

    The same model, settings and code find the evaluation that is there.

    Args:
        store: Where everything is.
        line: Whose model.
        model: Name of a published model.
        progress: Told of frames as they are predicted.

    Raises:
        NotFound: when the line has no such model.
        InvalidInput: when the model's scores are not finite, or no test frame can be read.
    """
    settings = config.load(store, line)
    trained = artifacts.read(store, line, "models", model)
    inputs = _inputs(trained, settings)
    name = content_name(inputs)
    found = artifacts.find(store, line, KIND, name)
    if found is not None:
        progress(f"evaluation {name} is there already", 1, 1)
        return found
    contract = Contract.model_validate_json(
        tables.read_verified(store, trained.file(predict.CONTRACT))
    )
    rows = snapshot.frames(store, line, inputs["snapshot"])
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "outputs.parquet")
        process.follow(_CHILD, [store.url, str(line), model, str(target)], progress)
        outputs = pl.read_parquet(target)
    judged = judge(rows, outputs, contract.classes, settings)
    source = worst.Source(store, line, trained.inputs["snapshot"], rows, outputs, contract)
    unit, confidence = judged.measured.resampled, settings.limits.confidence
    beside = masked.measure(source, judged.predictions, unit, confidence, progress)
    origin = {"model": model, "snapshot": trained.inputs["snapshot"], "config": settings.hash}
    figures = describe(judged, rows, contract.classes, origin).model_copy(update=beside._asdict())
    progress("drawing pictures", 0, 0)
    files = {
        PREDICTIONS: _parquet(judged.predictions),
        RULE: canonical_json(judged.rule.model_dump(mode="json")),
        FIGURES: canonical_json(figures.model_dump(mode="json")),
        **pictures.draw(figures, judged.predictions),
        **worst.draw(source, judged.predictions),
    }
    stored = {
        file: artifacts.write_file(store, line, KIND, name, file, data)
        for file, data in files.items()
    }
    return artifacts.publish(store, line, Artifact(KIND, name, inputs, stored, _summary(figures)))


def describe(
    judged: Judged, rows: pl.DataFrame, classes: Sequence[str], origin: Mapping[str, str]
) -> Evaluation:
    """All figures of an evaluation.

    Args:
        judged: Verdicts and what was measured of them.
        rows: Of `snapshot.frames`.
        classes: In the order of ``class_scores``.
        origin: ``model``, ``snapshot`` and ``config``.
    """
    return Evaluation(
        **dict(judged.measured),
        **origin,
        classes=tuple(classes),
        thresholds=judged.rule.default,
        counts=counts(rows),
        unreadable=dict(judged.unreadable),
        seeds={"bootstrap": ranking.SEED},
        warnings=judged.warnings,
    )


def read(store: Store, line: LineKey, name: str) -> Evaluation:
    """The figures of a published evaluation.

    Raises:
        NotFound: when the line has none of that name.
    """
    stored = artifacts.read(store, line, KIND, name).file(FIGURES)
    return Evaluation.model_validate_json(tables.read_verified(store, stored))


def predictions(store: Store, line: LineKey, name: str) -> pl.DataFrame:
    """The predictions of a published evaluation; columns as this module says.

    Raises:
        NotFound: when the line has none of that name.
    """
    return tables.read_table(store, artifacts.read(store, line, KIND, name).file(PREDICTIONS))


def _inputs(trained: Artifact, settings: LineConfig) -> dict[str, Any]:
    """What determines the rule and the figures."""
    return {
        "version": VERSION,
        "model": trained.name,
        "snapshot": trained.inputs["snapshot"],
        "products": list(settings.products),
        "cameras": list(settings.cameras),
        "costs": settings.costs.model_dump(mode="json"),
        "limits": settings.limits.model_dump(mode="json", exclude={"max_latency_ms"}),
    }


def counts(rows: pl.DataFrame) -> dict[str, Count]:
    """What each role of a snapshot holds.

    Args:
        rows: Columns ``role``, ``part``, ``group`` and ``label``.
    """
    parts = rows.group_by("role", "part").agg(
        pl.len().alias("frames"),
        pl.col("group").first(),
        (pl.col("label") == "defect").any().alias("defective"),
    )
    table = parts.group_by("role").agg(
        pl.col("frames").sum(),
        pl.len().alias("parts"),
        pl.col("group").n_unique().alias("groups"),
        (~pl.col("defective")).sum().alias("good_parts"),
        pl.col("defective").sum().alias("defective_parts"),
    )
    return {row.pop("role"): Count(**row) for row in table.sort("role").to_dicts()}


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _summary(figures: Evaluation) -> dict[str, Any]:
    """The figures that a person looks at first."""
    return {
        "auroc": figures.auroc.value if figures.auroc else None,
        "pixel_auroc": figures.localisation.pixel_auroc.value if figures.localisation else None,
        "aupro": figures.localisation.aupro.value if figures.localisation else None,
        "escapes": [figures.escapes.count, figures.escapes.of],
        "overkill": [figures.overkill.count, figures.overkill.of],
        "review": [figures.review.count, figures.review.of],
        "cost": figures.cost,
        "warnings": list(figures.warnings),
    }
