"""Bytes of a frame to pixels: limits from the header first, then one decoder with stated flags.

Accepted are JPEG, PNG, BMP and TIFF with 8 bits a channel and one picture in the file. EXIF
orientation is ignored: a fixed camera's frame is what its sensor saw (a TIFF that asks to be turned
is refused, because its decoder would turn it). Training, evaluation, audit
and the line all decode here, so that a frame has the same pixels everywhere.

Truncated files are refused whatever the format; also a JPEG that was cut and closed with an end
marker again, when the cut left the last row of pixels out (of a progressive one a cut may only cost
sharpness, which is not seen). What no decoder can tell is an uncompressed file (BMP, TIFF) whose
end was overwritten.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, JpegImagePlugin, TiffImagePlugin
from PIL.ImageFile import ImageFile

from inspection.bombs import check_jpeg_scans, check_tiff, jpeg_segments, png_chunks
from inspection.cut import DAMAGE, is_cut
from inspection.halves import Halves
from store.errors import UnreadableFrame

# Our errors say what is wrong; the library's own lines on stderr would only repeat it per frame.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

MAX_PIXELS = 50_000_000

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}
# Pillow's classes are used directly: `Image.open` warns, through a global, about pixel counts that
# our own limit refuses with a reason.
_READERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
_OTHER_FORMATS = {
    b"GIF8": "GIF",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"II+\x00": "BigTIFF",
    b"MM\x00+": "BigTIFF",
}
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "P": 3, "RGB": 3, "RGBA": 3, "RGBX": 3}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}  # by colour type
_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_TIFF_BITS, _TIFF_TURN = 258, 274
_NO_MEMORY = -4  # cv::Error::StsNoMem
# Markers that state the size (SOF, without DHT, JPG and DAC in between).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Baseline, extended, progressive: their Huffman codes say by themselves where the pixels end.
_JPEG_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})
_JPEG_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_JPEG_MISSING = 128  # what the decoder gives, in every channel, for blocks without data
# Bits that become pixels, between all restart markers: a decoder may wait for any of them.
_JPEG_PROBE = b"".join(
    bytes((37 * n * n + 11 * n + 165 + 31 * restart) % 255 for n in range(64))
    + bytes((0xFF, 0xD0 + restart))
    for restart in range(8)
)


@dataclass(frozen=True)
class Header:
    """What a file says of its frame before anything is decoded.

    Attributes:
        format: ``JPEG``, ``PNG``, ``BMP`` or ``TIFF``, from the bytes, whatever the name.
        width: Pixels, as stored (not rotated).
        height: Pixels, as stored.
        channels: 1 grey, 3 colour; a palette counts as colour, an alpha channel does not count.
        dtype: Always ``uint8`` at present.
    """

    format: str
    width: int
    height: int
    channels: int
    dtype: str = "uint8"


def read_header(data: bytes, *, max_pixels: int = MAX_PIXELS, min_side_px: int = 1) -> Header:
    """The header of a frame, checked against the limits; nothing is decoded.

    Raises:
        UnreadableFrame: with reason ``empty``, ``not_an_image``, ``unsupported_format``,
            ``unsupported_mode`` (CMYK, float, several pictures in one file), ``sixteen_bit``,
            ``too_large``, ``too_small``, ``too_complex``, ``truncated`` or ``undecodable``.
    """
    kind = _format(data)
    try:
        if kind == "TIFF":
            check_tiff(data, max_pixels)
        header = _PARSERS.get(kind, _parse)(data, kind)
    except DAMAGE as error:
        raise _broken(data, kind, f"its header cannot be read ({error})") from error
    width, height = header.width, header.height
    if width * height > max_pixels:
        raise UnreadableFrame(
            "too_large", f"{width} x {height} pixels are more than the limit of {max_pixels}"
        )
    check_side(width, height, min_side_px)
    return header


def check_side(width: int, height: int, min_side_px: int) -> None:
    """Refuse a frame with a side that is too short to judge.

    Raises:
        UnreadableFrame: with reason ``too_small``.
    """
    if min(width, height) < min_side_px:
        raise UnreadableFrame(
            "too_small", f"{width} x {height} pixels: each side needs at least {min_side_px}"
        )


def decode(
    data: bytes,
    header: Header | None = None,
    *,
    channels: int | None = None,
    max_pixels: int = MAX_PIXELS,
    reduced: int = 1,
) -> NDArray[np.uint8]:
    """The pixels of a frame as (H, W, channels) uint8, colour in the order red, green, blue.

    Args:
        data: The encoded file.
        header: From `read_header` of the same bytes; read here when not given.
        channels: 1 or 3, which the frame must have; None takes it as it is.
        max_pixels: Limit for reading the header.
        reduced: 1, 2, 4 or 8: decode at 1/n of the size; JPEG (where it is fast) rounds the size
            up, the others are decoded whole and halved, which rounds it down.

    Raises:
        UnreadableFrame: with a reason of `read_header`, or ``wrong_channels``.
        MemoryError: when this host has no room for the pixels.
        ValueError: when `reduced` is another number.
    """
    if reduced not in _REDUCED:
        raise ValueError(f"reduced is {reduced}, expected one of {sorted(_REDUCED)}")
    header = header or read_header(data, max_pixels=max_pixels)
    if channels is not None and header.channels != channels:
        raise UnreadableFrame(
            "wrong_channels", f"the frame has {header.channels} channel(s), expected {channels}"
        )
    pixels = _imdecode(data, header, reduced)
    spare = reduced - 1 if header.format == "JPEG" else 0
    size = ((header.height + spare) // reduced, (header.width + spare) // reduced)
    if pixels.shape[:2] != size:
        raise UnreadableFrame(
            "undecodable",
            f"decoded to {pixels.shape[1]} x {pixels.shape[0]} pixels, expected "
            f"{size[1]} x {size[0]} by the header",
        )
    return pixels


def _imdecode(data: bytes, header: Header, reduced: int) -> NDArray[np.uint8]:
    colour = cv2.IMREAD_COLOR_RGB if header.channels == 3 else cv2.IMREAD_GRAYSCALE
    is_scaled = header.format == "JPEG"
    flags = colour | cv2.IMREAD_IGNORE_ORIENTATION | (_REDUCED[reduced] if is_scaled else 0)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == _NO_MEMORY:  # the frame is sound, and this host has no room for it
            raise MemoryError(f"{header.format}: {error.err}") from error
        raise UnreadableFrame("undecodable", f"{header.format}: {error.err}") from error
    # libpng does not miss the end of the last chunk; all other formats are refused when cut.
    if pixels is None or (header.format == "PNG" and is_cut(data, "PNG")):
        raise _broken(data, header.format, "its pixels cannot be decoded")
    if is_scaled and np.all(pixels[-1] == _JPEG_MISSING) and _scan_is_short(data):
        raise UnreadableFrame(
            "truncated", "the JPEG file lacks pixels at its end, though it has an end marker"
        )
    frame = np.asarray(pixels, np.uint8).reshape(*pixels.shape[:2], header.channels)
    return frame if is_scaled else Halves(frame).at(reduced.bit_length() - 1)


def _format(data: bytes) -> str:
    """The accepted format whose signature the bytes begin with."""
    if not data:
        raise UnreadableFrame("empty", "the file has no bytes")
    for magic, name in _MAGIC.items():
        if data.startswith(magic):
            return name
    expected = "expected JPEG, PNG, BMP or TIFF"
    for magic, name in _OTHER_FORMATS.items():
        if data.startswith(magic):
            raise UnreadableFrame("unsupported_format", f"the file is {name}; {expected}")
    for place, magic, name in ((4, b"ftyp", "HEIF or AVIF"), (8, b"WEBP", "WebP")):
        if data.startswith(magic, place):
            raise UnreadableFrame("unsupported_format", f"the file is {name}; {expected}")
    raise UnreadableFrame(
        "not_an_image", f"begins with {data[:8].hex(' ')}, the mark of no image format; {expected}"
    )


def _parse_jpeg(data: bytes, kind: str) -> Header:
    """What the first start of a frame says (ITU-T T.81, B.2.2).

    Read here because it is on the way of every frame and Pillow's reader, which also looks at all
    that does not matter to us, takes a tenth of the time of decoding.
    """
    marker, place, scan = _jpeg_frame(data)
    bits, height, width, components = struct.unpack_from(">BHHB", data, place + 4)
    if bits != 8:
        raise UnreadableFrame("sixteen_bit", f"{bits} bits a channel; expected 8")
    if components not in (1, 3):
        raise UnreadableFrame(
            "unsupported_mode", f"JPEG of {components} components (CMYK?); expected grey or RGB"
        )
    if marker in _JPEG_PROGRESSIVE or data[scan + 4] < components:
        check_jpeg_scans(data, scan, width * height)
    return Header(kind, width, height, components)


def _jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """Marker and place of the first start of a frame, and the place of the first scan."""
    frame = None
    for marker, place in jpeg_segments(data):
        if frame is None and marker in _JPEG_FRAMES:
            frame = marker, place
    if frame is None:
        raise ValueError("its pixels begin before its size is stated")
    return *frame, place


def _scan_is_short(data: bytes) -> bool:
    """Whether the last scan of a JPEG ends before its pixels do.

    Bytes added at the scan's end are skipped when all pixels have been read, and become pixels when
    some are missing; so a sound file is never called short. Costs two decodings at 1/8 of the size,
    by Pillow, whose decoder does not write a warning of each to stderr.
    """
    scan = data.rfind(b"\xff\xda")
    end = data.find(b"\xff\xd9", scan + 2)
    if end == -1 or _jpeg_frame(data)[0] not in _JPEG_HUFFMAN:
        return False
    probed = data[:end].rstrip(b"\xff") + _JPEG_PROBE + data[end:]
    try:
        return _luma(data) != _luma(probed)
    except DAMAGE:
        return False


def _luma(data: bytes) -> bytes:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.draft("L", (1, 1))
    return image.tobytes()


def _parse_png(data: bytes, kind: str) -> Header:
    """What the header says (PNG 3rd edition, 11.2.1); Pillow's would read a million chunks."""
    name, place, _ = next(png_chunks(data), (b"", 0, 0))
    if name != b"IHDR":
        raise ValueError("it does not begin with IHDR")
    width, height, bits, colour = struct.unpack_from(">IIBB", data, place)
    if bits > 8:
        raise UnreadableFrame("sixteen_bit", "more than 8 bits a channel; expected 8")
    for name, place, _ in png_chunks(data):
        if name == b"acTL" and struct.unpack_from(">I", data, place)[0] > 1:
            raise _several_pictures()
    return Header(kind, width, height, _PNG_CHANNELS[colour])


def _parse(data: bytes, kind: str) -> Header:
    """What the header says; refuses what is not 8 bits a channel, grey or colour, one picture."""
    image = _READERS[kind](io.BytesIO(data))
    if _bits(image) > 8:
        raise UnreadableFrame("sixteen_bit", "more than 8 bits a channel; expected 8")
    if image.mode not in _CHANNELS:
        raise UnreadableFrame(
            "unsupported_mode", f"pixel mode {image.mode}; expected 8-bit grey, RGB or palette"
        )
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_TIFF_TURN, 1) != 1:
        raise UnreadableFrame(
            "unsupported_mode",
            "the TIFF asks to be turned or mirrored; save it upright",
        )
    header = Header(kind, width, height, _CHANNELS[image.mode])
    if _has_second_picture(image):
        raise _several_pictures()
    return header


def _several_pictures() -> UnreadableFrame:
    return UnreadableFrame(
        "unsupported_mode", "the file holds several pictures; give each a file of its own"
    )


def _bits(image: ImageFile) -> int:
    """Bits a channel; Pillow's mode hides them for 16-bit RGB. Float is left to the mode."""
    if image.mode == "F":
        return 8
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(_TIFF_BITS, (1,))))
    return 8


def _has_second_picture(image: ImageFile) -> bool:
    """Whether a TIFF has a second page; not how many (a bomb has millions)."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _broken(data: bytes, kind: str, what: str) -> UnreadableFrame:
    """The error for a file that ends too early, or else is damaged."""
    if is_cut(data, kind):
        return UnreadableFrame("truncated", f"the {kind} file ends after {len(data)} bytes: {what}")
    return UnreadableFrame("undecodable", f"the {kind} file is damaged: {what}")


_PARSERS: dict[str, Callable[[bytes, str], Header]] = {"JPEG": _parse_jpeg, "PNG": _parse_png}
