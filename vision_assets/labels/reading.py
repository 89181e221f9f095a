"""Frames of a data set read as far as a delivery needs it: headers, and masks as PNG."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from inspection import decode
from store.errors import InvalidInput, UnreadableFrame
from vision_assets.labels import masks
from vision_assets.labels.formats.frame import ImportedFrame, Marking


@dataclass(frozen=True)
class ReadFrame:
    """One frame with what its files say.

    Attributes:
        frame: As its data set describes it.
        channels: 1 or 3; None when the header cannot be read (ingest puts the frame aside).
        mask_png: The mask as a landing batch has it; None when nothing is marked.
        mask_classes: What the values of the mask mean.
        has_empty_mask: Whether the data set has a mask that marks nothing.
        fault: Why the data set cannot be imported as it is, else empty.
    """

    frame: ImportedFrame
    channels: int | None
    mask_png: bytes | None = None
    mask_classes: tuple[str, ...] = ()
    has_empty_mask: bool = False
    fault: str = ""


def read_all(frames: Sequence[ImportedFrame]) -> Iterator[ReadFrame]:
    """All frames in order, read by as many threads as there are cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(_read, frames)


def _read(frame: ImportedFrame) -> ReadFrame:
    try:
        header = decode.read_header(frame.path.read_bytes())
    except UnreadableFrame:
        return ReadFrame(frame, None)
    try:
        _check_size("its annotation", frame.size_px, header)
        if frame.load_mask is None:
            return ReadFrame(frame, header.channels)
        return _with_mask(frame, header, frame.load_mask())
    except InvalidInput as error:
        return ReadFrame(frame, header.channels, fault=f"{frame.file}: {error}")


def _check_size(of: str, size_px: tuple[int, int] | None, header: decode.Header) -> None:
    if size_px not in (None, (header.width, header.height)):
        raise InvalidInput(
            f"the frame has {header.width} x {header.height} pixels, {of} "
            f"{size_px[0]} x {size_px[1]}"
        )


def _with_mask(frame: ImportedFrame, header: decode.Header, marking: Marking) -> ReadFrame:
    height, width = marking.values.shape
    _check_size("its mask", (width, height), header)
    if not marking.values.any():
        return ReadFrame(frame, header.channels, has_empty_mask=True)
    if frame.label != "defect":
        raise InvalidInput(f"is labelled {frame.label}, but its mask marks defects")
    return ReadFrame(frame, header.channels, masks.encode(marking.values), marking.classes)
