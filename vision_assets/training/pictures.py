"""Pictures of a training: its curves, and a sheet of augmented frames."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vision_assets.learning.task import Sample
from vision_assets.training.module import Row
from vision_assets.training.samples import TrainingSamples
from vision_assets.training.source import FrameSource

_COLUMNS, _ROWS = 6, 4
_TILE_PX = 160
_GOOD, _DEFECTIVE, _OUTLINE = (90, 200, 90), (60, 60, 235), (0, 200, 255)


def curves(rows: Sequence[Row], kept: int) -> bytes:
    """A PNG of the losses and of the AUROC on `tune` by epoch; epoch `kept` is marked."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(rows) + 1)
    for name in (name for name in rows[0] if name.startswith("train_")):
        left.plot(epochs, [row[name] for row in rows], lw=1, label=name.replace("_", " "))
    left.plot(epochs, [row["tune_loss"] for row in rows], lw=2, color="black", label="tune loss")
    right.plot(epochs, [row.get("tune_auroc", np.nan) for row in rows], lw=2, color="black")
    _label(left, "loss", kept)
    _label(right, "image AUROC on tune", kept)
    left.legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _label(axes: Axes, title: str, kept: int) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("epoch", fontsize=8)
    axes.axvline(kept, color="grey", ls=":", lw=1)
    axes.tick_params(labelsize=7)


def sheet(samples: TrainingSamples, source: FrameSource) -> bytes:
    """A PNG of 24 augmented frames, good and defective, with what the mask marks outlined."""
    count = _COLUMNS * _ROWS
    order = np.argsort(source.is_defective, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, count).round().astype(int)]
    tiles = [
        _tile(samples.sample(int(position), 0, place)) for place, position in enumerate(chosen)
    ]
    rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, count, _COLUMNS)]
    return cv2.imencode(".png", np.vstack(rows))[1].tobytes()


def _tile(sample: Sample) -> NDArray[np.uint8]:
    """One frame (160, 160, 3) in OpenCV's order of colours: framed red when defective."""
    bgr = cv2.cvtColor(
        sample.pixels,
        cv2.COLOR_GRAY2BGR if sample.pixels.shape[2] == 1 else cv2.COLOR_RGB2BGR,
    )
    size = (_TILE_PX, _TILE_PX)
    tile = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    if sample.mask is not None:
        marked = cv2.resize((sample.mask > 0).astype(np.uint8), size)
        outlines, _ = cv2.findContours(marked, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, outlines, -1, _OUTLINE, 1)
    colour = _DEFECTIVE if sample.is_defective else _GOOD
    cv2.rectangle(tile, (0, 0), (_TILE_PX - 1, _TILE_PX - 1), colour, 2)
    return np.asarray(tile, np.uint8)
