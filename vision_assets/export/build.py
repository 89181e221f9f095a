"""A model's graphs, in a process of its own: torch and the calibration give their memory back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from inspection.bundle import GRAPH
from inspection.contract import InputSpec
from inspection.preprocess import prepare
from store import artifacts, batches
from store.keys import LineKey
from store.root import Store
from vision_assets import process
from vision_assets.dataset import snapshot
from vision_assets.progress import Progress

# The range of a tensor hardly grows after some hundred frames, and each costs as much as three
# inferences.
MOST_CALIBRATION_FRAMES = 512
_BATCH = 8


def build(store: Store, line: LineKey, model: str, folder: Path, progress: Progress) -> list[str]:
    """Write the float graph and both INT8 graphs of a model into `folder`.

    Returns:
        Their file names.
    """
    from vision_assets.export.graph import export_graph
    from vision_assets.export.quantise import quantise
    from vision_assets.learning.trained import contract_of, load_graph

    artifact = artifacts.read(store, line, "models", model)
    contract = contract_of(store, line, artifact)
    progress("exporting the graph", 0, 1)
    float_graph = export_graph(load_graph(store, line, artifact), contract)
    (folder / GRAPH).write_bytes(float_graph)
    progress("exporting the graph", 1, 1)
    rows = calibration_rows(snapshot.frames(store, line, artifact.inputs["snapshot"]))
    pixels = calibration_pixels(store, rows, contract.input, progress)
    graphs = quantise(folder / GRAPH, pixels, folder)
    for name, content in graphs.items():
        (folder / name).write_bytes(content)
    return [GRAPH, *graphs]


def calibration_rows(frames: pl.DataFrame) -> pl.DataFrame:
    """The frames of the role `calibrate`, or `MOST_CALIBRATION_FRAMES` of them spread evenly."""
    rows = frames.filter(pl.col("role") == "calibrate")
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), MOST_CALIBRATION_FRAMES))
    return rows[np.unique(chosen.round().astype(np.int64))] if len(rows) else rows


def calibration_pixels(
    store: Store, rows: pl.DataFrame, spec: InputSpec, progress: Progress
) -> Iterator[NDArray[np.uint8]]:
    """The graph's input for these frames, (n, height, width, channels) uint8, a few at a time."""
    parts: list[NDArray[np.uint8]] = []
    for done, (_, data) in enumerate(batches.read_frames(store, rows), start=1):
        parts.append(prepare(data, spec).pixels)
        if len(parts) == _BATCH or done == len(rows):
            yield np.stack(parts)
            parts.clear()
            progress("measuring ranges for INT8", done, len(rows))


def main(arguments: list[str]) -> int:
    """``python -m vision_assets.export.build STORE LINE MODEL FOLDER``."""
    url, line, model, folder = arguments
    return process.report(
        lambda progress: build(Store(url), LineKey.parse(line), model, Path(folder), progress)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
