"""Whether a file that cannot be read ends too early: a fault of the way here, not of the camera."""

from __future__ import annotations

import io
import struct

from PIL import TiffImagePlugin

# What Pillow raises for broken headers; warnings are errors where a test or a user says so.
DAMAGE = (SyntaxError, OSError, ValueError, LookupError, TypeError, struct.error, Warning)


def is_cut(data: bytes, kind: str) -> bool:
    """Whether a ``JPEG``, ``PNG``, ``BMP`` or ``TIFF`` lacks its end."""
    return _IS_CUT[kind](data)


def _jpeg_is_cut(data: bytes) -> bool:
    """Whether no end marker follows the last start of a scan (an EXIF thumbnail has its own)."""
    return data.rfind(b"\xff\xd9") <= data.rfind(b"\xff\xda")


def _png_is_cut(data: bytes) -> bool:
    return data.rfind(b"IEND\xaeB`\x82") == -1


def _bmp_is_cut(data: bytes) -> bool:
    return len(data) < 26 or int.from_bytes(data[2:6], "little") > len(data)


def _tiff_is_cut(data: bytes) -> bool:
    """Whether the directory or a strip or tile that it lists lies beyond the end."""
    try:
        ifd = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        stream = io.BytesIO(data)
        stream.seek(ifd.next or len(data))
        ifd.load(stream)
        offsets = ifd.get(273, ()) or ifd.get(324, ())
        lengths = ifd.get(279, ()) or ifd.get(325, ())
        ends = [int(offset) + int(length) for offset, length in zip(offsets, lengths, strict=False)]
    except DAMAGE:
        return True
    return not ends or max(ends) > len(data)


_IS_CUT = {"JPEG": _jpeg_is_cut, "PNG": _png_is_cut, "BMP": _bmp_is_cut, "TIFF": _tiff_is_cut}
