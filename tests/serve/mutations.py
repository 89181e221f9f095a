"""Damaged frames for fuzzing: files whose structure is changed where decoders look, and messages.

A mutation is a small tuple of numbers, so that hypothesis can shrink it and a seed can repeat it.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from serve.protocol import inspection_v1_pb2 as pb

INTERESTING = (0, 1, 2, 7, 8, 16, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


class Mutation(NamedTuple):
    """What to do (modulo the number of operations), where (a share of the file), and with what."""

    operation: int
    place: float
    value: int


def seeds() -> dict[str, bytes]:
    """Small frames in every format that is taken, and in some that are not."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 60, (24, 40, 3), np.uint8)  # dark: the tiny bundle passes it
    wide = rng.integers(0, 2**16, (24, 40), np.uint16)
    files = {
        "jpeg": (".jpg", colour, []),
        "jpeg progressive": (
            ".jpg",
            colour,
            [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2],
        ),
        "jpeg grey": (".jpg", colour[..., 0], []),
        "png": (".png", colour, []),
        "png 16 bits": (".png", wide, []),
        "bmp": (".bmp", colour, []),
        "tiff": (".tiff", colour, []),
        "tiff plain": (".tiff", colour, [cv2.IMWRITE_TIFF_COMPRESSION, 1]),
        "webp": (".webp", colour, []),
    }
    found = {}
    for name, (suffix, pixels, options) in files.items():
        ok, data = cv2.imencode(suffix, pixels, options)
        assert ok
        found[name] = data.tobytes()
    return found


def mutate(data: bytes, mutations: Sequence[Mutation]) -> bytes:
    """The file with all mutations made, and the checksums of its PNG chunks right again."""
    content = bytearray(data)
    for mutation in mutations:
        fields = structure(bytes(content))
        _OPERATIONS[mutation.operation % len(_OPERATIONS)](content, fields, mutation)
    return with_png_checksums(bytes(content))


def structure(data: bytes) -> list[tuple[int, int]]:
    """Offset and size of the fields that say how the rest is to be read."""
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    if data[:4] == b"\x89PNG":
        return _png(data)
    if data[:2] == b"BM":
        return [(2, 4), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4), (46, 4)]
    if data[:2] in (b"II", b"MM"):
        return _tiff(data)
    return [(offset, 1) for offset in range(min(len(data), 64))]


def with_png_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the checksums that they should have; other bytes as they are."""
    if data[:4] != b"\x89PNG":
        return data
    parts, offset = [data[:8]], 8
    while offset + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        end = offset + 8 + length
        if end + 4 > len(data):
            break
        body = data[offset + 4 : end]
        parts += [data[offset : offset + 4], body, struct.pack(">I", zlib.crc32(body))]
        offset = end + 4
    return b"".join([*parts, data[offset:]])


def _jpeg(data: bytes) -> list[tuple[int, int]]:
    found, offset = [], 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        (length,) = struct.unpack_from(">H", data, offset + 2)
        found += [(offset + 1, 1), (offset + 2, 2)]
        # Within a segment: sizes, components, tables.
        found += [(offset + 4 + n, 1) for n in range(min(length, 24))]
        offset += 2 + max(length, 2)
    return found


def _png(data: bytes) -> list[tuple[int, int]]:
    found, offset = [], 8
    while offset + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        found += [(offset, 4), (offset + 4, 4)]
        if data[offset + 4 : offset + 8] == b"IHDR":
            found += [(offset + 8, 4), (offset + 12, 4), *((offset + 16 + n, 1) for n in range(5))]
        else:
            found += [(offset + 8 + n, 1) for n in range(min(length, 8))]
        offset += 12 + length
    return found


def _tiff(data: bytes) -> list[tuple[int, int]]:
    order = "<" if data[:2] == b"II" else ">"
    found = [(0, 2), (2, 2), (4, 4)]
    if len(data) < 8:
        return found
    (offset,) = struct.unpack_from(order + "I", data, 4)
    if offset + 2 > len(data):
        return found
    (count,) = struct.unpack_from(order + "H", data, offset)
    found.append((offset, 2))
    for entry in range(offset + 2, offset + 2 + 12 * min(count, 30), 12):
        found += [(entry, 2), (entry + 2, 2), (entry + 4, 4), (entry + 8, 4), (entry + 8, 2)]
    return found


def _set_field(content: bytearray, fields: list[tuple[int, int]], mutation: Mutation) -> None:
    if not fields:
        return
    offset, size = fields[int(mutation.place * len(fields))]
    value = INTERESTING[mutation.value % len(INTERESTING)] + mutation.value // 1000 % 3 - 1
    order = "little" if mutation.value % 2 else "big"
    content[offset : offset + size] = (value % 2 ** (8 * size)).to_bytes(size, order)


def _set_byte(content: bytearray, fields: list[tuple[int, int]], mutation: Mutation) -> None:
    if content:
        content[int(mutation.place * len(content))] = mutation.value % 256


def _truncate(content: bytearray, fields: list[tuple[int, int]], mutation: Mutation) -> None:
    del content[int(mutation.place * len(content)) :]


def _remove(content: bytearray, fields: list[tuple[int, int]], mutation: Mutation) -> None:
    start = int(mutation.place * len(content))
    del content[start : start + mutation.value % 64 + 1]


def _repeat(content: bytearray, fields: list[tuple[int, int]], mutation: Mutation) -> None:
    start = int(mutation.place * len(content))
    content[start:start] = content[start : start + mutation.value % 512 + 1] * 3


def _insert(content: bytearray, fields: list[tuple[int, int]], mutation: Mutation) -> None:
    start = int(mutation.place * len(content))
    content[start:start] = random.Random(mutation.value).randbytes(mutation.value % 64 + 1)


_Operation = Callable[[bytearray, list[tuple[int, int]], Mutation], None]
_OPERATIONS: tuple[_Operation, ...] = (
    _set_field,
    _set_field,  # most of all
    _set_field,
    _set_byte,
    _truncate,
    _remove,
    _repeat,
    _insert,
)


def raw_frame(mutation: Mutation) -> pb.Frame:
    """Raw pixels whose description need not fit them."""
    sizes = (0, 1, 3, 24, 48, 65_535, 2**31, 2**32 - 1)
    value = mutation.value
    shape = [sizes[value // 8**n % 8] for n in range(value % 5)]
    dtypes = ("uint8", "uint16", "float32", "", "object", "\0" * 300, "<u1")
    data = bytes(int(mutation.place * 8000))
    raw = pb.RawPixels(data=data, shape=shape, dtype=dtypes[mutation.operation % len(dtypes)])
    return pb.Frame(raw=raw, camera="c" * (value % 400), frame_id="\u00f5" * (value % 250))
