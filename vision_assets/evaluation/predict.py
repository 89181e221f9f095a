"""A trained model's raw outputs on the frames it is judged by, in a process of its own.

The frames go the way of the line, from their bytes through `inspection.inspector`; only the verdict
is left to the parent, which chooses the rule from these outputs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from inspection.contract import Contract
from inspection.decision import Rule, Thresholds
from inspection.engines.engine import Engine
from inspection.inspector import FrameContext, Inspection, Inspector
from store import artifacts, batches, tables
from store.errors import UnreadableFrame
from store.keys import LineKey
from store.root import Store
from vision_assets import process
from vision_assets.dataset import snapshot
from vision_assets.progress import Progress

ROLES = ("calibrate", "test")
CONTRACT = "contract.json"
_NEUTRAL = Rule(default=Thresholds(temperature=1.0, pass_below=0.5, reject_from=0.5))
_BATCH = 16

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "frame_id": pl.String,
    "reason": pl.String,
    "score": pl.Float32,
    "class_scores": pl.List(pl.Float32),
    "map": pl.Binary,
    "segments": pl.Binary,
}
SEGMENT_FROM = 0.5
"""A pixel belongs to a class from this value of its segment on."""


def outputs(
    store: Store,
    rows: pl.DataFrame,
    contract: Contract,
    engine: Engine,
    workers: int,
    progress: Progress,
) -> pl.DataFrame:
    """Raw outputs of frames, one row each, in order.

    Args:
        store: Where their bytes are.
        rows: Of `snapshot.frames`.
        contract: The model's.
        engine: Runs the model.
        workers: Threads that each decode a batch and run the engine on it.
        progress: Told after each frame.

    Returns:
        ``frame_id``, ``reason`` (why the frame was refused, else null), ``score``, ``class_scores``
        ``map`` (map_height · map_width uint8 in row order, 255 for 1) and, of a task that gives
        them, ``segments`` (bits of classes, rows and columns in this order).
    """
    inspector = Inspector(contract, _NEUTRAL, engine)
    found = []
    for frame_id, answer in inspector.inspect_many(_frames(store, rows), _BATCH, workers):
        found.append(_row(frame_id, answer))
        progress("evaluating frames", len(found), len(rows))
    return pl.DataFrame(found, schema=SCHEMA, orient="row")


def _frames(store: Store, rows: pl.DataFrame) -> Iterator[tuple[str, bytes, FrameContext]]:
    contexts = rows.select(pl.col("camera", "product").fill_null("")).iter_rows()
    for (frame_id, data), context in zip(batches.read_frames(store, rows), contexts, strict=True):
        yield frame_id, data, FrameContext(*context)


def _row(frame_id: str, answer: Inspection | UnreadableFrame) -> tuple[object, ...]:
    if isinstance(answer, UnreadableFrame):
        return frame_id, str(answer), None, None, None, None
    out = answer.outputs
    heat = np.rint(out.map[0] * 255).astype(np.uint8).tobytes()
    segments = None if out.segments is None else np.packbits(out.segments[0] >= SEGMENT_FROM)
    bits = None if segments is None else segments.tobytes()
    return frame_id, None, out.score[0], out.class_scores[0], heat, bits


def run(store: Store, line: LineKey, model: str, target: Path, progress: Progress) -> int:
    """Write the outputs of a model on its snapshot's frames to a Parquet file.

    Returns:
        The number of rows.
    """
    from vision_assets.learning.engine import TorchEngine

    trained = artifacts.read(store, line, "models", model)
    contract = Contract.model_validate_json(tables.read_verified(store, trained.file(CONTRACT)))
    frames = snapshot.frames(store, line, trained.inputs["snapshot"])
    rows = frames.filter(pl.col("role").is_in(ROLES))
    engine = TorchEngine.load(store, line, trained)
    workers = len(os.sched_getaffinity(0))
    outputs(store, rows, contract, engine, workers, progress).write_parquet(target)
    return len(rows)


def main(arguments: list[str]) -> int:
    """``python -m vision_assets.evaluation.predict STORE LINE MODEL TARGET``."""
    url, line, model, target = arguments

    def work(progress: Progress) -> int:
        progress("loading the model", 0, 0)
        import torch

        # One thread for each of as many batches as there are cores: decoding overlaps, none waits.
        torch.set_num_threads(1)
        return run(Store(url), LineKey.parse(line), model, Path(target), progress)

    return process.report(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
