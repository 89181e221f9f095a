"""A frame as it came in, before anything is believed of it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from inspection.inspector import FrameContext
from store.errors import InvalidInput, UnreadableFrame

MAX_NAME_CHARACTERS = 200
MAX_AXES = 4

_DTYPES = frozenset(
    f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RawFrame:
    """Raw pixels as a client describes them: bytes, shape and dtype, which need not fit."""

    data: bytes
    shape: tuple[int, ...]
    dtype: str

    def pixels(self, max_pixels: int) -> NDArray[np.uint8]:
        """The pixels as (H, W, channels) uint8, a view of the bytes.

        Raises:
            UnreadableFrame: with reason ``empty``, ``sixteen_bit``, ``unsupported_mode``,
                ``wrong_shape`` or ``too_large``.
        """
        self._check_description()
        shape = " x ".join(map(str, self.shape)) or "none"
        if len(self.shape) not in (2, 3) or 0 in self.shape:
            raise UnreadableFrame(
                "wrong_shape", f"raw pixels have shape {shape}, expected H x W or H x W x channels"
            )
        if self.shape[0] * self.shape[1] > max_pixels:
            raise UnreadableFrame(
                "too_large", f"raw pixels have shape {shape}, at most {max_pixels} pixels are taken"
            )
        if not self.data:
            raise UnreadableFrame("empty", "raw pixels have no bytes")
        if len(self.data) != math.prod(self.shape):
            raise UnreadableFrame(
                "wrong_shape",
                f"{len(self.data)} bytes of raw pixels do not fill the shape {shape}, which takes "
                f"{math.prod(self.shape)}",
            )
        frame = np.frombuffer(self.data, np.uint8).reshape(self.shape)
        return frame if frame.ndim == 3 else frame[:, :, np.newaxis]

    def _check_description(self) -> None:
        """Refuse what is no dtype or shape of pixels; what may be of any length is not repeated."""
        if len(self.shape) > MAX_AXES:
            raise UnreadableFrame(
                "wrong_shape",
                f"the shape of the raw pixels has {len(self.shape)} numbers, expected 2 or 3",
            )
        if self.dtype != "uint8":
            code = "sixteen_bit" if self.dtype == "uint16" else "unsupported_mode"
            known = not self.dtype or self.dtype in _DTYPES
            dtype = repr(self.dtype) if known else f"of {len(self.dtype)} characters that is none"
            raise UnreadableFrame(code, f"raw pixels have dtype {dtype}, expected 'uint8'")


@dataclass(frozen=True)
class IncomingFrame:
    """One frame with what the client says of it.

    Attributes:
        payload: An encoded file, raw pixels, or None when the client sent neither.
        frame_id: As supplied, or made by the server.
        camera, product, serial: Empty when the client does not say.
        captured: Seconds and nanoseconds since 1970 (UTC), or None when the client does not say.
        traceparent: Of the W3C trace it belongs to; empty without one.
    """

    payload: bytes | RawFrame | None
    frame_id: str
    camera: str = ""
    product: str = ""
    serial: str = ""
    captured: tuple[int, int] | None = None
    traceparent: str = ""

    @property
    def context(self) -> FrameContext:
        """What the decision rule asks for."""
        return FrameContext(camera=self.camera, product=self.product)

    @property
    def size_bytes(self) -> int:
        """Size of the payload."""
        payload = self.payload.data if isinstance(self.payload, RawFrame) else self.payload
        return len(payload or b"")

    @property
    def captured_at(self) -> datetime | None:
        """When the frame was captured (UTC), or None when the client does not say.

        Raises:
            OverflowError: when the client names a time that no calendar has.
        """
        if self.captured is None:
            return None
        seconds, nanoseconds = self.captured
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the frame's bytes; empty without a payload."""
        if self.payload is None:
            return ""
        data = self.payload.data if isinstance(self.payload, RawFrame) else self.payload
        return hashlib.sha256(data).hexdigest()

    def check(self) -> None:
        """Refuse what no release could answer.

        Raises:
            InvalidInput: naming every fault at once.
        """
        faults = []
        if self.payload is None:
            faults.append("it has no payload: set `encoded` or `raw`")
        for name in ("frame_id", "camera", "product", "serial"):
            length = len(getattr(self, name))
            if length > MAX_NAME_CHARACTERS:
                faults.append(f"{name} has {length} characters, at most {MAX_NAME_CHARACTERS} fit")
        try:
            _ = self.captured_at
        except OverflowError:
            faults.append(f"captured_at {self.captured} is no time between the years 1 and 9999")
        if faults:
            raise InvalidInput("the frame cannot be taken: " + "; ".join(faults))
