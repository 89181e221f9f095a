"""Whether a label fits its frame and its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from store.errors import InvalidInput, NotFound
from vision_assets.labels import masks
from vision_assets.labels.rows import Fault, LabelRow, NumberedRow

# Formats that keep shares of width and height come back with rounding errors.
_TOLERANCE_PX = 0.5


@dataclass(frozen=True)
class Frame:
    """What a label has to fit: a frame as the index of its batch describes it."""

    frame_id: str
    width: int
    height: int


@dataclass(frozen=True)
class Frames:
    """The frames of a batch by file and by id, and the files that ingest put aside."""

    by_file: Mapping[str, Frame]
    by_id: Mapping[str, Frame]
    quarantined: frozenset[str]

    def find(self, row: LabelRow) -> Frame | None:
        """The frame that a row means; None when there is none or file and id disagree."""
        if row.file is None:
            return self.by_id.get(row.frame_id or "")
        frame = self.by_file.get(row.file)
        if frame is None or row.frame_id not in (None, frame.frame_id):
            return None
        return frame

    def is_quarantined(self, row: LabelRow) -> bool:
        """Whether a row means a file that ingest put aside."""
        return row.file is not None and row.file in self.quarantined


@dataclass(frozen=True)
class Fitting:
    """A label that fits.

    Attributes:
        frame_id: The frame it is said of.
        numbered: The row of the label file that says it.
        classes: Every class that the row, its boxes or its mask name, sorted.
        mask_png: The mask's bytes as delivered.
    """

    frame_id: str
    numbered: NumberedRow
    classes: tuple[str, ...]
    mask_png: bytes | None


def fit(
    numbered: NumberedRow,
    frame: Frame,
    classes: tuple[str, ...],
    read_mask: Callable[[str], bytes],
) -> Fitting | list[Fault]:
    """The label when it fits, else everything that is wrong with it.

    Args:
        numbered: The row.
        frame: The frame it is said of.
        classes: Defect classes of the line.
        read_mask: Gives the bytes of a mask by its path below ``masks/``; raises `NotFound`.
    """
    row = numbered.row
    shown: tuple[str, ...] = ()
    mask_png = None
    faults = [*_outside(numbered, frame)]
    if row.mask is not None:
        try:
            mask_png = _mask_bytes(row.mask, read_mask)
            shown = _shown(row, mask_png, frame)
        except (InvalidInput, NotFound) as error:
            faults.append(Fault("mask", f"{numbered.where}: {row.mask}: {error}"))
    named = tuple(sorted({*row.named_classes, *shown}))
    unknown = sorted({*named, *row.mask_classes} - set(classes))
    if unknown:
        expected = ", ".join(classes) or "none: the line's settings name no class"
        text = f"{numbered.where}: unknown class {', '.join(unknown)}; expected {expected}"
        faults.append(Fault("unknown_class", text))
    return faults or Fitting(frame.frame_id, numbered, named, mask_png)


def _outside(numbered: NumberedRow, frame: Frame) -> Iterator[Fault]:
    for box in numbered.row.boxes:
        right, bottom = box.x + box.width, box.y + box.height
        inside = (
            min(box.x, box.y) >= -_TOLERANCE_PX
            and right <= frame.width + _TOLERANCE_PX
            and bottom <= frame.height + _TOLERANCE_PX
        )
        if not inside:
            yield Fault(
                "outside_image",
                f"{numbered.where}: box of {box.name} spans {box.x:g}..{right:g} x "
                f"{box.y:g}..{bottom:g}; the frame has {frame.width} x {frame.height} pixels",
            )


def _mask_bytes(path: str, read_mask: Callable[[str], bytes]) -> bytes:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise InvalidInput("the path should lie below masks/")
    return read_mask(path)


def _shown(row: LabelRow, mask_png: bytes, frame: Frame) -> tuple[str, ...]:
    """Classes that the mask marks.

    Raises:
        InvalidInput: when it does not fit the frame, its classes or its label.
    """
    header = masks.header_of(mask_png)
    if (header.width, header.height) != (frame.width, frame.height):
        raise InvalidInput(
            f"the mask has {header.width} x {header.height} pixels, the frame {frame.width} x "
            f"{frame.height}"
        )
    values = masks.read(mask_png)
    present = masks.present_in(values)
    missing = masks.beyond(present, row.mask_classes)
    if missing:
        raise InvalidInput(missing)
    if present and row.label == "good":
        raise InvalidInput(f"marks {np.count_nonzero(values)} pixels of a frame labelled good")
    return tuple(row.mask_classes[value - 1] for value in present)
