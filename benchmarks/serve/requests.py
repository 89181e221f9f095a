"""The same frames as each protocol carries them, as bodies that are written beforehand."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

BOUNDARY = "7d3f0b1c9a"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
OCTETS = "application/octet-stream"

Body = Callable[[bytes, str], bytes]
"""A frame and its kind (``jpeg`` or ``raw``) to the request's body."""


def plain(frame: bytes, kind: str) -> bytes:
    """The frame itself."""
    return frame


def form(field: str) -> Body:
    """An upload as a browser sends it."""

    def body(frame: bytes, kind: str) -> bytes:
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="frame"\r\n'
        )
        head += f"Content-Type: {OCTETS}\r\n\r\n"
        return head.encode() + frame + f"\r\n--{BOUNDARY}--\r\n".encode()

    return body


def open_inference(datatype: str, model: str = "inspection") -> Body:
    """Open Inference Protocol (KServe v2, gRPC): ``ModelInferRequest`` with raw contents.

    Args:
        datatype: ``BYTES`` (one element) or ``UINT8`` (as many as the frame has bytes), whichever
            the server takes faster.
        model: Its name.
    """

    def body(frame: bytes, kind: str) -> bytes:
        is_one = datatype == "BYTES"
        content = struct.pack("<I", len(frame)) + frame if is_one else frame
        shape = _varint(1 if is_one else len(frame))
        tensor = _field(1, b"frame") + _field(2, datatype.encode()) + _field(3, shape)
        return _field(1, model.encode()) + _field(5, tensor) + _field(7, content)

    return body


def write(folder: Path, frames: Path, kind: str, body: Body) -> Path:
    """Write a body for each frame; gives their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(frames.iterdir()):
        (folder / f"{path.stem}.bin").write_bytes(body(path.read_bytes(), kind))
    return folder


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content
