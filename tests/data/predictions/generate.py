"""Rows of a snapshot and the outputs of a model on them, drawn from two bells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from vision_assets.evaluation.predict import SCHEMA

CLASSES = ("scratch", "pit")


@dataclass(frozen=True)
class Recipe:
    """What is drawn; `distance` is how far defects score above good parts, in deviations."""

    parts: int = 200
    frames: int = 2
    distance: float = 3.0
    defect_rate: float = 0.3
    seed: int = 0


def rows_and_outputs(recipe: Recipe) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows as of `snapshot.frames` and outputs as of `predict.outputs`."""
    rng = np.random.default_rng(recipe.seed)
    rows, outputs = [], []
    for part in range(recipe.parts):
        defective = bool(rng.random() < recipe.defect_rate)
        kind = CLASSES[int(rng.integers(2))]
        level = rng.normal() * 0.9 + recipe.distance * defective
        for view in range(recipe.frames):
            name = f"frame-{part:04}-{view}"
            rows.append(
                {
                    "frame_id": name,
                    "part": f"part-{part:04}",
                    "group": f"part:part-{part:04}",
                    "batch": f"b{part % 3}",
                    "camera": f"c{view}",
                    "product": None,
                    "role": ("train", "calibrate", "test", "test")[part % 4],
                    "label": "defect" if defective else "good",
                    "classes": [kind] if defective else [],
                }
            )
            named = kind if rng.random() < 0.9 else CLASSES[0]
            scores = [0.8 if name == named else 0.3 for name in CLASSES]
            score = level + 0.4 * rng.normal()
            outputs.append((name, None, score, scores, bytes(range(16)), None))
    classes = pl.List(pl.String)
    table = pl.DataFrame(rows, schema_overrides={"product": pl.String(), "classes": classes})
    judged = table.filter(pl.col("role") != "train")["frame_id"]
    found = pl.DataFrame(outputs, schema=SCHEMA, orient="row")
    return table, found.filter(pl.col("frame_id").is_in(judged.implode()))
