"""Files that are small to send and dear to decode: refused before they are decoded.

The limit of pixels bounds what a frame's pixels cost. What else a file can make a decoder do has no
number in its header: a progressive JPEG may hold a thousand scans, each a pass over the whole
picture; a TIFF eight million strips; a PNG may go on inflating after its last pixel. Each check
here costs microseconds, but `refuse_overlong_png`, which only a server needs.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from store.errors import UnreadableFrame

REASON = "too_complex"

MOST_SEGMENTS = 1_000  # of a JPEG before its pixels; a large colour profile takes 255
MOST_FILL_BYTES = 1_000  # between two of them
MOST_SCANS = 100  # usual are 10
MOST_SCANNED_PIXELS = 1_000_000_000  # 20 scans of the largest frame: about a second
MOST_PNG_CHUNKS = 20_000  # usual are 8 KiB each
MOST_PNG_EXTRAS = 64  # chunks without pixels; a compressed text may take 25 ms
MOST_TIFF_VALUES = 65_536  # of one tag: so many strips or tiles
MOST_TIFF_SCANS = 20  # of a strip or tile that is a JPEG, on average

MOST_PNG_SURPLUS_BYTES = 2**28
"""A PNG that could inflate to so many bytes more than its pixels is looked at: about a second's
work for the decoder, as the largest frame is."""

_MOST_INFLATED = 1032
"""Bytes that deflate makes of one, at most: 258 of two bits (RFC 1951, 3.2.5)."""

_JPEG_SOS = 0xDA
_JPEG_MARKERS = range(0xC0, 0xFF)
_SCAN = b"\xff\xda"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_HEAD_BYTES = 33  # up to the end of its first chunk
_CHUNK = struct.Struct(">I4s")
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
_INFLATE_PIECE = 2**18
_TIFF_PLAIN = frozenset({1, 2, 6, 7})  # types of one byte, which are taken as they are
_TIFF_COMPRESSION, _TIFF_JPEG = 259, frozenset({6, 7})
_TIFF_TILE_WIDTH, _TIFF_TILE_LENGTH = 322, 323
_TIFF_PARTS = frozenset({273, 324})  # where strips and tiles lie


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of each segment of a JPEG up to its first scan, that one included.

    Raises:
        UnreadableFrame: with reason ``too_complex``.
        ValueError, IndexError, struct.error: when the file is damaged.
    """
    place = 2
    for _ in range(MOST_SEGMENTS):
        last_fill = place + MOST_FILL_BYTES
        while data[place + 1] == 0xFF:
            place += 1
            if place > last_fill:
                raise _too_complex("JPEG", f"more than {MOST_FILL_BYTES} fill bytes together")
        mark, marker, length = struct.unpack_from(">BBH", data, place)
        if mark != 0xFF or marker not in _JPEG_MARKERS:
            raise ValueError(f"marker {mark:02x}{marker:02x} before the pixels")
        yield marker, place
        if marker == _JPEG_SOS:
            return
        place += 2 + length
    raise _too_complex("JPEG", f"more than {MOST_SEGMENTS} segments before its pixels")


def check_jpeg_scans(data: bytes, scan: int, pixels: int) -> None:
    """Refuse a JPEG of several scans when they are too many.

    Args:
        data: The file.
        scan: Where its first scan begins.
        pixels: Of the frame.

    Raises:
        UnreadableFrame: with reason ``too_complex``.
    """
    scans = data.count(_SCAN, scan)  # a few too many when another picture follows
    most = min(MOST_SCANS, MOST_SCANNED_PIXELS // max(pixels, 1))
    if scans > most:
        raise _too_complex("JPEG", f"{scans} scans, at most {most} are decoded at this size")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, place of the content, and its length, of each chunk of a PNG; ends where it is cut.

    Raises:
        UnreadableFrame: with reason ``too_complex``.
    """
    place, extras = len(_PNG_MAGIC), 0
    for _ in range(MOST_PNG_CHUNKS):
        if place + _CHUNK.size > len(data):
            return
        length, kind = _CHUNK.unpack_from(data, place)
        extras += kind != b"IDAT"
        if extras > MOST_PNG_EXTRAS:
            raise _too_complex("PNG", f"more than {MOST_PNG_EXTRAS} chunks without pixels")
        yield kind, place + _CHUNK.size, length
        place += _CHUNK.size + length + 4
        if kind == b"IEND":
            return
    raise _too_complex("PNG", f"more than {MOST_PNG_CHUNKS} chunks")


def refuse_overlong_png(data: bytes, max_pixels: int) -> None:
    """Refuse a PNG whose compressed data go on after its last pixel, which the decoder inflates.

    Costs half a decoding when the data are long enough to do harm (260 KB and up), else next to
    nothing. A file that is no PNG, or damaged, or too large is left to `inspection.decode`.

    Raises:
        UnreadableFrame: with reason ``too_complex``.
    """
    if not data.startswith(_PNG_MAGIC) or len(data) < _PNG_HEAD_BYTES:
        return
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    if width * height > max_pixels or colour not in _PNG_SAMPLES:
        return
    # Twice, and a little: an interlaced picture has more and shorter rows.
    most = 2 * height * (1 + width * bits * _PNG_SAMPLES[colour] // 8 + 1) + 2**16
    if _MOST_INFLATED * len(data) <= most + MOST_PNG_SURPLUS_BYTES:
        return
    inflater = zlib.decompressobj()
    for kind, place, length in png_chunks(data):
        if kind != b"IDAT":
            continue
        rest: bytes | memoryview = memoryview(data)[place : place + length]
        while rest and not inflater.eof:
            try:
                most -= len(inflater.decompress(rest, _INFLATE_PIECE))
            except zlib.error:
                return
            rest = inflater.unconsumed_tail
            if most < 0:
                raise _too_complex("PNG", "compressed data that go on after its last pixel")


def check_tiff(data: bytes, max_pixels: int) -> None:
    """Refuse a TIFF of too many or too large strips or tiles, by its first directory.

    Raises:
        UnreadableFrame: with reason ``too_complex``.
        struct.error: when the file is damaged.
    """
    order = "<" if data[:2] == b"II" else ">"
    (place,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, place)
    entry = struct.Struct(f"{order}HHI")
    values, parts = {}, 1
    for index in range(entries):
        at = place + 2 + 12 * index
        tag, kind, count = entry.unpack_from(data, at)
        if count > MOST_TIFF_VALUES and kind not in _TIFF_PLAIN:
            raise _too_complex("TIFF", f"{count} values of tag {tag}, at most {MOST_TIFF_VALUES}")
        if tag in _TIFF_PARTS:
            parts = max(parts, count)
        # A number of 16 bits stands in the first two of the four bytes.
        (values[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, at + 8)
    tile = values.get(_TIFF_TILE_WIDTH, 0) * values.get(_TIFF_TILE_LENGTH, 0)
    if tile > max_pixels:
        raise _too_complex("TIFF", f"tiles of {tile} pixels, at most {max_pixels} are decoded")
    if values.get(_TIFF_COMPRESSION) in _TIFF_JPEG:
        scans = data.count(_SCAN)
        if scans > MOST_TIFF_SCANS * parts:
            raise _too_complex("TIFF", f"{scans} JPEG scans in {parts} strips or tiles")


def _too_complex(kind: str, what: str) -> UnreadableFrame:
    return UnreadableFrame(
        REASON, f"the {kind} file would hold up a worker: it has {what}; save it anew"
    )
