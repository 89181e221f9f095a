"""Test frames against the masks of their defects: where, and how large what was missed is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from vision_assets.dataset import snapshot
from vision_assets.evaluation import rates
from vision_assets.evaluation.figures import Localisation, Overlap, SizeFigures
from vision_assets.evaluation.localisation import Localiser
from vision_assets.evaluation.overlap import Overlaps
from vision_assets.evaluation.worst import Source
from vision_assets.progress import Progress

SIZES = (0.0, 0.001, 0.01, 0.1, 1.0)
"""Limits of the shares of a frame that a defect covers."""

_MASKS_AT_ONCE = 64


class Masked(NamedTuple):
    """Figures that need masks; empty where there are none."""

    localisation: Localisation | None
    overlaps: tuple[Overlap, ...]
    by_size: tuple[SizeFigures, ...]


def measure(
    source: Source, predictions: pl.DataFrame, unit: str, confidence: float, progress: Progress
) -> Masked:
    """Figures of the role `test` that need masks; good frames have an empty one.

    Args:
        source: Where masks and maps come from.
        predictions: As `evaluate` says.
        unit: ``part`` or ``group``, what is resampled together.
        confidence: Of intervals.
        progress: Told of frames.
    """
    test = predictions.filter(pl.col("role") == "test")
    localiser, shares = Localiser(), dict[str, float]()
    overlaps = Overlaps(source.contract.classes)
    for done, (row, heat, mask) in enumerate(_frames(source, test), start=1):
        localiser.add(heat, mask > 0, row[unit])
        if row["segments"] is not None:
            overlaps.add(_segments(source, row["segments"], mask.shape), mask, row[unit])
        if row["label"] == "defect":
            shares[row["frame_id"]] = float((mask > 0).mean())
        progress("comparing maps with masks", done, len(test))
    return Masked(
        localiser.figures(confidence),
        overlaps.figures(confidence),
        by_size(test, shares, unit, confidence),
    )


def _segments(source: Source, bits: bytes, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """(classes, H, W), brought to the size of the frame."""
    contract = source.contract
    assert contract.segments is not None
    shape = len(contract.classes), *contract.segments
    flat = np.unpackbits(np.frombuffer(bits, np.uint8), count=int(np.prod(shape)))
    return np.stack(
        [
            cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_NEAREST) > 0
            for plane in flat.reshape(shape)
        ]
    )


def by_size(
    frames: pl.DataFrame, shares: dict[str, float], unit: str, confidence: float
) -> tuple[SizeFigures, ...]:
    """Escapes of defective parts by the largest share of a frame that their defect covers.

    Args:
        frames: Predictions of the role `test`.
        shares: By frame id, of the defective frames whose mask is known.
        unit: ``part`` or ``group``.
        confidence: Of intervals.
    """
    known = frames.with_columns(
        pl.col("frame_id").replace_strict(shares, default=None).cast(pl.Float64).alias("share")
    )
    largest = known.group_by("part").agg(pl.col("share").max())
    parts = rates.to_parts(frames).filter("defective").join(largest, on="part").drop_nulls("share")
    found = []
    for low, high in pairwise(SIZES):
        mine = parts.filter((pl.col("share") > low) & (pl.col("share") <= high))
        if len(mine):
            escapes = rates.escapes(mine, unit, confidence)
            found.append(
                SizeFigures(from_share=low, to_share=high, parts=len(mine), escapes=escapes)
            )
    return tuple(found)


def _frames(
    source: Source, test: pl.DataFrame
) -> Iterator[tuple[dict[str, Any], NDArray[np.float32], NDArray[np.uint8]]]:
    """Rows with their map and mask, some masks at a time: each is as large as its frame."""
    places = source.rows.select("frame_id", "has_mask", "width", "height")
    heats = source.outputs.select("frame_id", "map", "segments")
    rows = test.join(places, on="frame_id", how="left", maintain_order="left")
    rows = rows.join(heats, on="frame_id", how="left", maintain_order="left")
    rows = rows.filter(pl.col("has_mask") | (pl.col("label") != "defect"))
    contract = source.contract
    for some in rows.iter_slices(_MASKS_AT_ONCE):
        ids = some.filter("has_mask")["frame_id"].to_list()
        masks = snapshot.masks(source.store, source.line, source.snapshot, ids)
        for row in some.iter_rows(named=True):
            x, y, width, height = contract.input.crop or (0, 0, row["width"], row["height"])
            mask = masks.get(row["frame_id"], np.zeros((row["height"], row["width"]), np.uint8))
            cells = np.frombuffer(row["map"], np.uint8)
            heat = (cells / 255).astype(np.float32)
            heat = heat.reshape(contract.map_height, contract.map_width)
            yield row, heat, mask[y : y + height, x : x + width]
