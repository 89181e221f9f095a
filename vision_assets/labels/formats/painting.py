"""Marked pixels from what data sets bring: mask pictures, polygons, run lengths."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inspection import decode
from store.errors import InvalidInput
from vision_assets.labels.formats.frame import Marking

_HALF = 128


def from_file(path: Path, name: str) -> Marking:
    """The pixels that a two-valued mask picture marks as one class.

    Marked is what is at least half opaque, in a picture with transparency; else grey of 128 and
    more, or 1 in a picture that holds only 0 and 1.

    Raises:
        InvalidInput: when the picture cannot be read.
    """
    data = path.read_bytes()
    try:
        decode.read_header(data)
        with Image.open(io.BytesIO(data)) as image:
            marked = _marked(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidInput(f"the mask cannot be decoded ({error})") from error
    return Marking(marked.astype(np.uint8), (name,))


def _marked(image: Image.Image) -> NDArray[np.bool_]:
    """(H, W) bool."""
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA"))[:, :, 3]
        if alpha.min(initial=255) < 255:
            return alpha >= _HALF
    grey = np.asarray(image.convert("L"))
    return grey >= (1 if grey.max(initial=0) == 1 else _HALF)


def from_shapes(size_px: tuple[int, int], shapes: Sequence[tuple[str, object]]) -> Marking:
    """The pixels inside COCO segmentations; where they overlap, the smaller one shows.

    Args:
        size_px: Width and height of the frame.
        shapes: Class and segmentation: a list of polygons (x, y, x, y, … in pixels), or run
            lengths (``counts`` and ``size``), compressed or not.

    Raises:
        InvalidInput: when a segmentation is neither.
    """
    layers = [(name, _layer(size_px, segmentation)) for name, segmentation in shapes]
    layers.sort(key=lambda layer: int(layer[1].sum()), reverse=True)
    classes = tuple(sorted({name for name, _ in layers}))
    values = np.zeros((size_px[1], size_px[0]), np.uint8)
    for name, marked in layers:
        values[marked] = classes.index(name) + 1
    return Marking(values, classes)


def _layer(size_px: tuple[int, int], segmentation: object) -> NDArray[np.bool_]:
    """(H, W) bool."""
    from pycocotools import mask

    width, height = size_px
    if isinstance(segmentation, dict):
        encoded = _run_lengths(segmentation, size_px)
    else:
        encoded = mask.merge(mask.frPyObjects(_polygons(segmentation), height, width))
    return np.asarray(mask.decode(encoded), bool)


def _polygons(value: object) -> list[list[float]]:
    if not isinstance(value, list) or not value:
        raise InvalidInput("a segmentation should be a list of polygons or run lengths")
    return [_polygon(polygon) for polygon in value]


def _polygon(value: object) -> list[float]:
    if not isinstance(value, list) or len(value) < 6 or len(value) % 2:
        raise InvalidInput("a polygon should list at least three points as x, y, x, y, …")
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in value):
        raise InvalidInput("a polygon should list numbers")
    return [float(number) for number in value]


def _run_lengths(value: dict[str, object], size_px: tuple[int, int]) -> dict[str, object]:
    from pycocotools import mask

    width, height = size_px
    if value.get("size") != [height, width]:
        raise InvalidInput(
            f"run lengths of size {value.get('size')}, expected [{height}, {width}] (height, width)"
        )
    counts = value.get("counts")
    runs = _decompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(isinstance(n, int) and n >= 0 for n in runs):
        raise InvalidInput("run lengths without counts that can be read")
    # Of counts that end too early the library leaves the rest as it finds it in memory.
    if sum(runs) != height * width:
        raise InvalidInput(f"run lengths over {sum(runs)} pixels, expected {height * width}")
    encoded: dict[str, object] = mask.frPyObjects({**value, "counts": runs}, height, width)
    return encoded


def _decompressed(counts: str) -> list[int]:
    """Counts from COCO's text form, as ``rleFrString`` in maskApi.c of the COCO API reads it.

    Each character holds five bits, lowest first, and whether more follow; from the fourth count on
    the difference to the one before last is written.
    """
    runs: list[int] = []
    value = shift = 0
    for code in (ord(character) - 48 for character in counts):
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            signed = value - (1 << shift) if code & 16 else value
            runs.append(signed + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
