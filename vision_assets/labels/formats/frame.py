"""What every layout gives: frames as a data set on disk describes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vision_assets.labels.rows import Box


@dataclass(frozen=True)
class Marking:
    """Which pixels are defective: (H, W) uint8, 0 good, v means ``classes[v - 1]``."""

    values: NDArray[np.uint8]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ImportedFrame:
    """One frame of a data set.

    Attributes:
        path: The file whose bytes are the frame.
        file: Path relative to the data set, with ``/``; the frame's name in the landing area.
        label: ``good``, ``defect``, or None when the data set does not say.
        classes: Defect classes, sorted.
        boxes: Defects as rectangles in pixels.
        load_mask: Gives the marked pixels, decoded when called; None without a mask. Raises
            `InvalidInput` when the mask cannot be read.
        size_px: Width and height as an annotation states them.
        batch: The batch that the data set itself names, else empty.
        metadata: Columns of the metadata row: camera, captured_at, serial, group, product, further.
    """

    path: Path
    file: str
    label: str | None
    classes: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    load_mask: Callable[[], Marking] | None = None
    size_px: tuple[int, int] | None = None
    batch: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
