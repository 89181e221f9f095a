"""Class masks: one byte a pixel, 0 good, further values defect classes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection import decode
from store.errors import InvalidInput

_GREY_8_BIT = b"\x08\x00"  # bit depth and colour type in a PNG's header


def class_mask(
    mask_png: bytes, mask_classes: Sequence[str], classes: Sequence[str]
) -> NDArray[np.uint8]:
    """The mask of a label in the numbers of a line: (H, W) uint8, 0 good, k means classes[k - 1].

    Args:
        mask_png: 8-bit single-channel PNG whose value v >= 1 means ``mask_classes[v - 1]``.
        mask_classes: What the values of this PNG mean.
        classes: Defect classes of the line or bundle, in order; at most 255.

    Raises:
        InvalidInput: when the PNG is no such mask, holds a value without a class, or marks a class
            that is not in `classes`.
    """
    values = read(mask_png)
    present = present_in(values)
    missing = beyond(present, mask_classes)
    if missing:
        raise InvalidInput(missing)
    table = np.zeros(256, np.uint8)
    for value in present:
        name = mask_classes[value - 1]
        if name not in classes:
            raise InvalidInput(f"the mask marks class {name!r}; expected one of {list(classes)}")
        table[value] = classes.index(name) + 1
    return table[values]


def read(mask_png: bytes) -> NDArray[np.uint8]:
    """The values of a mask, (H, W) uint8.

    Raises:
        InvalidInput: when it is not an 8-bit single-channel PNG within the pixel limit.
    """
    header = header_of(mask_png)
    return decode.decode(mask_png, header)[:, :, 0]


def header_of(mask_png: bytes) -> decode.Header:
    """The header of a mask; nothing is decoded.

    Raises:
        InvalidInput: when it is not an 8-bit single-channel PNG within the pixel limit.
    """
    header = decode.read_header(mask_png)
    if header.format != "PNG" or mask_png[24:26] != _GREY_8_BIT:
        raise InvalidInput("the mask should be an 8-bit single-channel (grey) PNG")
    return header


def present_in(values: NDArray[np.uint8]) -> list[int]:
    """The values of a mask that mark something, ascending."""
    return [int(value) for value in np.flatnonzero(np.bincount(values.ravel())) if value]


def beyond(present: Sequence[int], mask_classes: Sequence[str]) -> str:
    """What is wrong with values that have no class; empty when each has one.

    >>> beyond([1, 3], ["scratch", "pit"])
    'the mask holds the value 3 but mask_classes names only 2: scratch, pit'
    """
    if not present or max(present) <= len(mask_classes):
        return ""
    named = ", ".join(mask_classes) or "none"
    return (
        f"the mask holds the value {max(present)} but mask_classes names only "
        f"{len(mask_classes)}: {named}"
    )


def encode(values: NDArray[np.uint8]) -> bytes:
    """A mask, (H, W) uint8, as PNG."""
    return cv2.imencode(".png", values)[1].tobytes()
