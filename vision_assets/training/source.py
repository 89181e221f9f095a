"""Training frames at the size of the network's input, decoded as the line will decode them."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from inspection.contract import InputSpec
from inspection.preprocess import fit, prepare_unmeasured
from store import batches
from store.root import Store

Pixels = NDArray[np.uint8]

MEMORY_BUDGET_BYTES = 2**30
"""Decoded frames are kept when all of them fit into this; else each is decoded whenever asked."""

# Part of a pixel, in 1/255, that a class must cover to be its class.
_COVERED = 32


class FrameSource:
    """Frames by position, with their labels. Any number of threads may ask.

    Attributes:
        spec: The network's input.
        is_defective: By position.
        classes: Defect classes by position; None for a defective frame of which none is known.
    """

    def __init__(
        self,
        store: Store,
        frames: pl.DataFrame,
        masks: Mapping[str, bytes],
        spec: InputSpec,
        budget_bytes: int = MEMORY_BUDGET_BYTES,
    ) -> None:
        """Take frames of a snapshot.

        Args:
            store: Where the shards are.
            frames: Columns ``label``, ``classes`` and those of `store.batches.Place`.
            masks: Packed masks by frame id, from `pack_mask`.
            spec: The network's input.
            budget_bytes: Memory for decoded frames.
        """
        self._store = store
        self.spec = spec
        self._places = batches.places(frames)
        self._masks = [masks.get(frame_id) for frame_id in frames["frame_id"]]
        self.is_defective: list[bool] = (frames["label"] != "good").to_list()
        self.classes = [
            tuple(names) if names or not bad else None
            for names, bad in zip(frames["classes"].to_list(), self.is_defective, strict=True)
        ]
        size = len(frames) * spec.height * spec.width * spec.channels
        self._kept: list[Pixels | None] | None = (
            [None] * len(frames) if size <= budget_bytes else None
        )

    def __len__(self) -> int:
        return len(self._places)

    def pixels(self, position: int) -> Pixels:
        """(h, w, channels) uint8; not to be changed.

        Raises:
            Corrupt: when the store holds other bytes than were ingested.
        """
        if self._kept is None:
            return self._decode(position)
        kept = self._kept[position]
        if kept is None:
            kept = self._kept[position] = self._decode(position)
        return kept

    def mask(self, position: int) -> Pixels | None:
        """(h, w) uint8: 0 good, k a class; None for a defect that nobody has outlined."""
        packed = self._masks[position]
        if packed is not None:
            return np.asarray(cv2.imdecode(np.frombuffer(packed, np.uint8), 0), np.uint8)
        if self.is_defective[position]:
            return None
        return np.zeros((self.spec.height, self.spec.width), np.uint8)

    def has_outline(self, position: int) -> bool:
        """Whether the frame's defects are outlined."""
        return self._masks[position] is not None

    def _decode(self, position: int) -> Pixels:
        data = batches.read_frame(self._store, self._places[position])
        return prepare_unmeasured(data, self.spec)


def pack_mask(mask: Pixels, spec: InputSpec) -> bytes | None:
    """A class mask at the size of the input, as PNG; None when it outlines nothing.

    A mask of a defective frame that is empty says nothing about where the defect is.

    Args:
        mask: (H, W) uint8 of the whole frame, 0 good, k a class.
        spec: The network's input.
    """
    found = [int(value) for value in np.unique(mask) if value]
    if not found:
        return None
    planes = [fit(_plane(mask == value), spec)[:, :, 0] for value in found]
    covered = np.stack(planes)
    best = np.asarray(found, np.uint8)[covered.argmax(0)]
    small = np.where(covered.max(0) >= min(_COVERED, int(covered.max())), best, 0)
    return cv2.imencode(".png", small.astype(np.uint8))[1].tobytes()


def _plane(chosen: NDArray[np.bool_]) -> Pixels:
    return chosen.astype(np.uint8)[:, :, None] * np.uint8(255)
