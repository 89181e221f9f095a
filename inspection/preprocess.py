"""From encoded bytes to the graph's input: the same for training, evaluation, audits and the line.

In this order, on uint8: header (limits before decoding), decode, statistics, crop, resize.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.contract import InputSpec
from inspection.decode import check_side, decode, read_header
from inspection.halves import Halves
from inspection.statistics import statistics
from store.errors import UnreadableFrame

# Frames are what runs in parallel: with a second pool inside each call the threads wait for each
# other (a resize took 2.6 times as long on a busy machine).
cv2.setNumThreads(1)

_MOST_AS_FLOAT = 2**23  # values; 32 MiB as float32


@dataclass(frozen=True)
class Prepared:
    """One frame, ready for the graph.

    Attributes:
        pixels: (height, width, channels) uint8, as the contract says.
        statistics: Tier-1 statistics of the whole frame by column name.
    """

    pixels: NDArray[np.uint8]
    statistics: dict[str, float]


def prepare(data: bytes, spec: InputSpec) -> Prepared:
    """An encoded frame, decoded, measured and fitted.

    Raises:
        UnreadableFrame: when the bytes are not a frame that `spec` accepts.
    """
    return _measured(_decoded(data, spec), spec, spec.reduced_decode)


def prepare_unmeasured(data: bytes, spec: InputSpec) -> NDArray[np.uint8]:
    """The pixels that `prepare` gives, without the statistics, for which training has no use.

    Raises:
        UnreadableFrame: when the bytes are not a frame that `spec` accepts.
    """
    return fit(_decoded(data, spec), spec, spec.reduced_decode)


def prepare_pixels(frame: NDArray[np.uint8], spec: InputSpec) -> Prepared:
    """A raw frame ``(H, W, channels) uint8``, measured and fitted.

    Raises:
        UnreadableFrame: when shape, dtype or size are not what `spec` accepts.
    """
    _check_raw(frame, spec)
    return _measured(frame, spec)


def _measured(frame: NDArray[np.uint8], spec: InputSpec, reduced: int = 1) -> Prepared:
    halves = Halves(frame)
    pixels = fit(frame, spec, reduced) if spec.crop else _fit(halves, spec)
    return Prepared(pixels, statistics(frame, halves))


def _decoded(data: bytes, spec: InputSpec) -> NDArray[np.uint8]:
    header = read_header(data, max_pixels=spec.max_pixels, min_side_px=spec.min_side_px)
    return decode(
        data,
        header,
        channels=spec.channels,
        max_pixels=spec.max_pixels,
        reduced=spec.reduced_decode,
    )


def fit(frame: NDArray[np.uint8], spec: InputSpec, reduced: int = 1) -> NDArray[np.uint8]:
    """The graph's input for a frame: cropped, then resized to (height, width, channels) uint8.

    Shrinking averages areas, so that a thin scratch keeps its weight wherever it lies; when a side
    grows, both are interpolated linearly.

    Args:
        frame: (H, W, channels) uint8; not changed, and returned as it is when it fits already.
        spec: What the graph takes.
        reduced: The frame was decoded at 1/reduced; the crop, which counts whole-frame pixels,
            shrinks with it.

    Raises:
        UnreadableFrame: when the crop does not lie inside the frame.
    """
    return _fit(Halves(_crop(frame, spec.crop, reduced) if spec.crop else frame), spec)


def _fit(halves: Halves, spec: InputSpec) -> NDArray[np.uint8]:
    times = 0
    while _can_halve(halves.at(times), spec):  # 1920 x 1080 to 224 x 224 takes 1.7 ms, not 7
        times += 1
    part = halves.at(times)
    if part.shape[:2] == (spec.height, spec.width):
        return part
    if spec.height <= part.shape[0] and spec.width <= part.shape[1]:
        return _average(part, spec.height, spec.width)
    return _resize(part, spec.height, spec.width, cv2.INTER_LINEAR)


def _can_halve(frame: NDArray[np.uint8], spec: InputSpec) -> bool:
    """Whether both sides are even and stay at least as long as the graph wants them."""
    height, width = frame.shape[:2]
    is_long = height >= 2 * spec.height and width >= 2 * spec.width
    return bool(is_long and height % 2 == 0 and width % 2 == 0)


def _average(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The means of areas; by way of float32 the same to the bit, and for colour a third faster."""
    if frame.shape[2] == 1 or frame.size > _MOST_AS_FLOAT:
        return _resize(frame, height, width, cv2.INTER_AREA)
    means = cv2.resize(frame.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.convertScaleAbs(means), np.uint8)


def _resize(frame: NDArray[np.uint8], height: int, width: int, mode: int) -> NDArray[np.uint8]:
    resized = cv2.resize(frame, (width, height), interpolation=mode)
    return np.asarray(resized, np.uint8).reshape(height, width, frame.shape[2])


def _crop(
    frame: NDArray[np.uint8], crop: tuple[int, int, int, int], reduced: int
) -> NDArray[np.uint8]:
    x, y, width, height = crop
    left, top = x // reduced, y // reduced
    right, bottom = -(-(x + width) // reduced), -(-(y + height) // reduced)
    if right > frame.shape[1] or bottom > frame.shape[0]:
        raise UnreadableFrame(
            "too_small",
            f"the contract crops to x {x}..{x + width}, y {y}..{y + height}; the frame has "
            f"{frame.shape[1] * reduced} x {frame.shape[0] * reduced} pixels: send whole frames",
        )
    return frame[top:bottom, left:right]


def _check_raw(frame: NDArray[np.uint8], spec: InputSpec) -> None:
    """Refuse raw pixels that a decoder would not have given."""
    shape = " x ".join(map(str, frame.shape))
    if frame.dtype != np.uint8:
        reason = "sixteen_bit" if frame.dtype == np.uint16 else "unsupported_mode"
        raise UnreadableFrame(reason, f"raw pixels are {frame.dtype}, expected uint8")
    if frame.ndim != 3 or 0 in frame.shape:
        raise UnreadableFrame("wrong_shape", f"raw pixels are {shape}, expected H x W x channels")
    if frame.shape[2] != spec.channels:
        raise UnreadableFrame(
            "wrong_channels", f"raw pixels are {shape}, expected {spec.channels} channels"
        )
    if frame.shape[0] * frame.shape[1] > spec.max_pixels:
        raise UnreadableFrame(
            "too_large", f"raw pixels are {shape}, at most {spec.max_pixels} pixels are accepted"
        )
    check_side(frame.shape[1], frame.shape[0], spec.min_side_px)
