"""Sheets of the likeliest mistakes: defects nearest to PASS, good parts nearest to REJECT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inspection.contract import Contract
from inspection.decision import Label
from inspection.preprocess import prepare
from store import batches
from store.keys import LineKey
from store.root import Store
from vision_assets.dataset import snapshot
from vision_assets.evaluation.pictures import to_png

MOST = 8

_COLUMNS = 4
_SIDE_PX = 180
_COLOURS = {
    Label.PASS.value: "#2a9d4a",
    Label.REVIEW.value: "#d79b1e",
    Label.REJECT.value: "#d1493f",
}


@dataclass(frozen=True)
class Source:
    """Where frames, masks and maps come from.

    Attributes:
        store: Where the frames are.
        line: Whose they are.
        snapshot: Its name.
        rows: Of `snapshot.frames`.
        outputs: Of `predict.outputs`.
        contract: Of the model.
    """

    store: Store
    line: LineKey
    snapshot: str
    rows: pl.DataFrame
    outputs: pl.DataFrame
    contract: Contract


def draw(source: Source, predictions: pl.DataFrame) -> dict[str, bytes]:
    """``worst_escapes.png`` and ``worst_overkills.png``.

    They are named for what they warn of: a defective part shown here need not have been passed.
    Each says in its title what it shows, at most eight parts by the frame that decided; the
    outline in yellow is where the network saw most, the one in cyan where the label says the
    defect is.

    Args:
        source: Where frames, masks and maps come from.
        predictions: Columns ``frame_id``, ``part``, ``role``, ``label``, ``classes``, ``p`` and
            ``verdict``.
    """
    bad, good = worst(predictions.filter(pl.col("role") == "test"))
    return {
        "worst_escapes.png": _sheet(source, bad, "lowest scores among defective parts"),
        "worst_overkills.png": _sheet(source, good, "highest scores among good parts"),
    }


def worst(test: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Deciding frames of the defective parts nearest to PASS, and of the good nearest to REJECT.

    Args:
        test: Columns as in `draw`.
    """
    deciding = (
        test.with_columns((pl.col("label") == "defect").any().over("part").alias("defective"))
        .sort("p", "frame_id", descending=[True, False])
        .unique("part", keep="first", maintain_order=True)
    )
    bad = deciding.filter("defective").reverse().head(MOST)
    return bad, deciding.filter(~pl.col("defective")).head(MOST)


def _sheet(source: Source, chosen: pl.DataFrame, title: str) -> bytes:
    """Thumbnails in a grid; an empty one says that there is no such part."""
    lines = max(1, -(-len(chosen) // _COLUMNS))
    frames = _frames(source, chosen)
    tallest = max((frame.heat.shape[0] / _SIDE_PX for frame in frames.values()), default=1)
    figure = Figure(figsize=(2.1 * _COLUMNS, (0.6 + 2.0 * tallest) * lines), layout="constrained")
    figure.suptitle(title, fontsize=10)
    grid = figure.subplots(lines, _COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    if chosen.is_empty():
        grid[0].text(0, 0.5, "no such part in test")
    for axes, row in zip(grid, chosen.iter_rows(named=True), strict=False):
        _show(axes, frames[row["frame_id"]])
        _caption(axes, row)
    return to_png(figure)


@dataclass(frozen=True)
class _Frame:
    """A thumbnail with its map and mask in the same size: (h, w, 1 or 3) uint8, (h, w), (h, w)."""

    pixels: NDArray[np.uint8]
    heat: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None


def _frames(source: Source, chosen: pl.DataFrame) -> dict[str, _Frame]:
    names = chosen["frame_id"].to_list()
    rows = source.rows.filter(pl.col("frame_id").is_in(names))
    heats = dict(
        source.outputs.filter(pl.col("frame_id").is_in(names)).select("frame_id", "map").rows()
    )
    masks = snapshot.masks(source.store, source.line, source.snapshot, names)
    sizes = rows.select("width", "height").rows()
    return {
        name: _frame(source.contract, data, size, heats[name], masks.get(name))
        for (name, data), size in zip(batches.read_frames(source.store, rows), sizes, strict=True)
    }


def _frame(
    contract: Contract,
    data: bytes,
    size: tuple[int, int],
    heat: bytes,
    mask: NDArray[np.uint8] | None,
) -> _Frame:
    """What the network sees of a frame, in the proportions the frame had."""
    x, y, width, height = contract.input.crop or (0, 0, *size)
    scale = _SIDE_PX / max(width, height)
    small = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = cv2.resize(prepare(data, contract.input).pixels, small, interpolation=cv2.INTER_AREA)
    cells = np.frombuffer(heat, np.uint8).reshape(contract.map_height, contract.map_width)
    found = None
    if mask is not None:
        inside = (mask[y : y + height, x : x + width] > 0).astype(np.uint8)
        found = np.asarray(cv2.resize(255 * inside, small, interpolation=cv2.INTER_AREA), np.uint8)
    return _Frame(
        np.asarray(pixels, np.uint8),
        np.asarray(cv2.resize(cells, small, interpolation=cv2.INTER_LINEAR), np.uint8),
        found,
    )


def _show(axes: Axes, frame: _Frame) -> None:
    axes.imshow(frame.pixels, cmap="gray", vmin=0, vmax=255)
    _outline(axes, frame.heat, "yellow")
    if frame.mask is not None:
        _outline(axes, frame.mask, "cyan")


def _outline(axes: Axes, values: NDArray[np.uint8], colour: str) -> None:
    """Where the values are above half of their peak; nothing when they are all alike."""
    if values.max() > values.min():
        level = (float(values.max()) + float(values.min())) / 2
        axes.contour(values, levels=[level], colors=[colour], linewidths=0.8)


def _caption(axes: Axes, row: dict[str, Any]) -> None:
    what = ", ".join(row["classes"]) or row["label"]
    text = f"{row['verdict']} p={row['p']:.3g}\n{what}\n{row['frame_id'][-24:]}"
    axes.set_title(text, fontsize=7, color=_COLOURS[row["verdict"]])
