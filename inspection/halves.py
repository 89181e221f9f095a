"""A frame at half, a quarter, ... of its size: made once, for all who look at it small."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


class Halves:
    """The frame and its halves, each made when first asked for; for one thread."""

    def __init__(self, frame: NDArray[np.uint8]) -> None:
        """Take a frame ``(H, W, channels) uint8``, which is not changed."""
        self._sizes = [frame]

    def at(self, times: int) -> NDArray[np.uint8]:
        """The frame halved `times` times; 0 is the frame itself."""
        while len(self._sizes) <= times:
            self._sizes.append(halved(self._sizes[-1]))
        return self._sizes[times]


def halved(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The means of cells of 2 x 2 pixels, for which OpenCV has a fast path.

    The last row or column of an odd side is cut off; a side of one pixel stays.

    Args:
        frame: ``(H, W)`` or ``(H, W, channels)`` uint8.

    >>> halved(np.array([[1, 3, 9], [5, 7, 9]], np.uint8))
    array([[4]], dtype=uint8)
    """
    rows, columns = max(1, frame.shape[0] // 2), max(1, frame.shape[1] // 2)
    whole = frame[: 2 * rows, : 2 * columns]
    small = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8).reshape(rows, columns, *frame.shape[2:])
