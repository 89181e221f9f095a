"""A frame as it came in, before anything is believed of it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
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

_NAMES = ("frame_id", "camera", "product", "serial")
_TIME_PARTS = 2  # seconds and nanoseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RawFrame:
    """Raw pixels as a client describes them: bytes, shape and dtype, which need not fit."""

    data: bytes
    shape: tuple[int, ...]
    dtype: str

    def faults(self) -> list[str]:
        """What is not even of the types above, as a driver in this process may give it."""
        found = []
        if not isinstance(self.data, bytes):
            found.append(f"raw pixels are {_type(self.data)}, expected bytes")
        if not isinstance(self.shape, tuple) or not all(type(n) is int for n in self.shape):
            found.append("the shape of the raw pixels is not a tuple of int")
        if not isinstance(self.dtype, str):
            found.append(f"dtype is {_type(self.dtype)}, expected str")
        return found

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
        if any(number < 0 for number in self.shape):
            raise UnreadableFrame(
                "wrong_shape", f"the shape of the raw pixels has a negative number: {self.shape}"
            )
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
        names = (_name_fault(name, getattr(self, name)) for name in _NAMES)
        faults = [fault for fault in (self._payload_fault(), *names) if fault]
        try:
            _ = self.captured_at
        except OverflowError:
            faults.append(f"captured_at {self.captured} is no time between the years 1 and 9999")
        except (TypeError, ValueError):
            faults.append("captured is not two int, seconds and nanoseconds")
        if faults:
            raise InvalidInput("the frame cannot be taken: " + "; ".join(faults))

    def recordable(self) -> IncomingFrame:
        """The same without what has not even the right type, so that its refusal can be recorded.

        Only a driver in this process can give such a frame; a message cannot hold it.
        """
        texts = {name: getattr(self, name) for name in _NAMES}
        return replace(
            self,
            payload=None if self._payload_fault() else self.payload,
            captured=self.captured if _is_time(self.captured) else None,
            **{name: text if _is_text(text) else "" for name, text in texts.items()},
        )

    def _payload_fault(self) -> str:
        """What is wrong with the payload before anything is decoded; empty when nothing is."""
        if isinstance(self.payload, bytes):
            return ""
        if isinstance(self.payload, RawFrame):
            return "; ".join(self.payload.faults())
        if self.payload is None:
            return "it has no payload: set `encoded` or `raw`"
        return f"its payload is {_type(self.payload)}, expected bytes or a RawFrame"


def _name_fault(name: str, value: object) -> str:
    """What is wrong with one of the names; empty when nothing is."""
    if not isinstance(value, str):
        return f"{name} is {_type(value)}, expected str"
    if len(value) > MAX_NAME_CHARACTERS:
        return f"{name} has {len(value)} characters, at most {MAX_NAME_CHARACTERS} fit"
    return "" if _is_text(value) else f"{name} holds half of a character (a lone surrogate)"


def _is_text(value: object) -> bool:
    """Whether a value is text that UTF-8 can hold."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_time(captured: object) -> bool:
    return (
        isinstance(captured, tuple)
        and len(captured) == _TIME_PARTS
        and all(isinstance(number, int) for number in captured)
    )


def _type(value: object) -> str:
    return f"of type {type(value).__name__}"
