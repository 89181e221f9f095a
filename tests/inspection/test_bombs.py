"""Small files that are dear to decode are refused, and sound files of many parts are not."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inspection import bombs
from inspection.bombs import refuse_overlong_png
from inspection.decode import decode, read_header
from store.errors import UnreadableFrame

LIMIT = 50_000_000


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, pixels: bytes, extras: bytes = b"", after: bytes = b"") -> bytes:
    """A colour PNG of these compressed pixels, with chunks before and after them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    parts = (header, extras, chunk(b"IDAT", pixels), after, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(*tags: tuple[int, int, int, int], content: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory: tag, type, count, value or place."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + content


def jpeg(size: int = 64, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def with_scans(count: int, size: int = 64) -> bytes:
    """A progressive JPEG whose last scan is there `count` times more."""
    data = jpeg(size, progressive=True)
    last, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:end] + data[last:end] * count + data[end:]


SMALL = zlib.compress((b"\0" + bytes(8 * 3)) * 8)
GREY = ((256, 3, 1, 16), (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1))
STRIPS = 1_000_000

BOMBS = {
    "jpeg-scans": with_scans(1_000),
    "jpeg-segments": b"\xff\xd8" + b"\xff\xe0\x00\x02" * 100_000 + jpeg()[2:],
    "jpeg-fill": b"\xff\xd8" + b"\xff" * 100_000 + jpeg()[2:],
    "jpeg-hidden-scans": with_scans(1_000).replace(
        # A comment that looks like a scan of all components stands before the first scan.
        b"\xff\xda",
        b"\xff\xfe\x00\x08\xff\xda\x00\x0c\x03\x00\xff\xda",
        1,
    ),
    "png-chunks": png(8, 8, SMALL, chunk(b"abCd", b"") * 100_000),
    "png-chunks-after": png(8, 8, SMALL, after=chunk(b"abCd", b"") * 100_000),
    "png-texts": png(8, 8, SMALL, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**20))) * 100),
    "png-empty-pixels": png(8, 8, b"", chunk(b"IDAT", b"") * 100_000),
    "tiff-strips": tiff(
        *GREY,
        (257, 4, 1, STRIPS),
        (259, 3, 1, 1),
        (273, 4, STRIPS, 122),
        (278, 3, 1, 1),
        (279, 4, STRIPS, 122),
        content=bytes(4 * STRIPS),
    ),
    "tiff-tile": tiff(
        *GREY,
        (257, 3, 1, 16),
        (259, 3, 1, 1),
        (322, 4, 1, 60_000),
        (323, 4, 1, 60_000),
        (324, 4, 1, 8),
        (325, 4, 1, 100),
        content=bytes(1000),
    ),
    "tiff-jpeg-scans": tiff(
        *GREY,
        (257, 3, 1, 16),
        (259, 3, 1, 7),
        (273, 4, 1, 8),
        (279, 4, 1, 100),
        content=with_scans(1_000),
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_by_its_header(name: str) -> None:
    with pytest.raises(UnreadableFrame) as raised:
        read_header(BOMBS[name])
    assert raised.value.reason == bombs.REASON
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("size", [100_000, 2**31 - 1])
def test_size_that_no_memory_holds_is_refused_by_the_header(size: int) -> None:
    bmp = b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54)
    bmp += struct.pack("<IiiHHIIiiII", 40, size, size, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(1000)
    tall = tiff((256, 4, 1, size), (257, 4, 1, size), *GREY[1:], (259, 3, 1, 1), (273, 4, 1, 8))
    for data in (png(size, size, SMALL), bmp, tall):
        with pytest.raises(UnreadableFrame) as raised:
            read_header(data)
        assert raised.value.reason == "too_large"


def test_large_progressive_frame_may_have_fewer_scans() -> None:
    """So that no file costs more than about twenty passes over the largest frame."""
    small, large = with_scans(60), with_scans(60, size=256)
    assert read_header(small).width == 64
    limit, bombs.MOST_SCANNED_PIXELS = bombs.MOST_SCANNED_PIXELS, 20 * 256**2
    try:
        with pytest.raises(UnreadableFrame) as raised:
            read_header(large)
    finally:
        bombs.MOST_SCANNED_PIXELS = limit
    assert raised.value.reason == bombs.REASON


@pytest.mark.parametrize("progressive", [True, False])
def test_usual_files_of_many_parts_are_taken(progressive: bool) -> None:
    profile = bytes(300_000)  # several segments
    assert decode(jpeg(progressive=progressive, icc_profile=profile)).shape == (64, 64, 3)
    buffer = io.BytesIO()
    Image.new("L", (16, 5_000)).save(buffer, "TIFF", tiffinfo={278: 1})  # a strip a row
    assert decode(buffer.getvalue()).shape == (5_000, 16, 1)


SEEN = bombs.MOST_PNG_SURPLUS_BYTES // 1032
"""PNGs that are this much longer than their pixels compressed are looked at."""


def overlong(size: int, surplus: int) -> bytes:
    """A PNG of noise of `size` pixels square whose data go on for `surplus` bytes."""
    noise = np.random.default_rng(1).integers(0, 256, (size, 1 + 3 * size), np.uint8)
    noise[:, 0] = 0
    return png(size, size, zlib.compress(noise.tobytes() + bytes(surplus), 1))


def flood(surplus_mib: int) -> bytes:
    """A PNG of 8 pixels square whose data go on for ever, as densely as can be."""
    deflater = zlib.compressobj(9)
    first = deflater.compress((b"\0" + bytes(8 * 3)) * 8) + deflater.flush(zlib.Z_FULL_FLUSH)
    more = deflater.compress(bytes(2**20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    return png(8, 8, first + more * surplus_mib)


@pytest.mark.parametrize("data", [overlong(700, 2**23), flood(300)], ids=["pixels", "surplus"])
def test_png_that_inflates_for_ever_is_refused(data: bytes) -> None:
    """Whether its pixels are many, or it is all surplus: 300 KB may inflate to 300 MB."""
    with pytest.raises(UnreadableFrame) as raised:
        refuse_overlong_png(data, LIMIT)
    assert raised.value.reason == bombs.REASON


def test_png_that_passes_unseen_has_little_surplus() -> None:
    """What is not looked at is short, and deflate makes at most 1032 bytes of one."""
    most = bombs.MOST_PNG_SURPLUS_BYTES // 2**20
    refuse_overlong_png(flood(most - 32), LIMIT)
    with pytest.raises(UnreadableFrame):
        refuse_overlong_png(flood(most + 1), LIMIT)


def test_large_sound_png_is_taken() -> None:
    data = overlong(700, 0)
    assert len(data) > 2 * SEEN
    refuse_overlong_png(data, LIMIT)
    assert decode(data).shape == (700, 700, 3)
    refuse_overlong_png(data[: 2 * SEEN], LIMIT)  # cut: for `decode` to say


@pytest.mark.parametrize("size", [8, 16, 32])
def test_png_without_a_whole_head_is_left_to_the_header(size: int) -> None:
    refuse_overlong_png(png(8, 8, SMALL)[:size], LIMIT)


def test_png_larger_than_the_limit_is_left_to_the_header() -> None:
    refuse_overlong_png(overlong(700, 2**23), max_pixels=1000)


@given(st.binary(max_size=400), st.sampled_from(sorted(BOMBS)), st.integers(0, 300))
def test_damaged_bombs_are_refused_like_any_damaged_file(
    noise: bytes, name: str, place: int
) -> None:
    """Whatever stands in a file, it is decoded or refused with a reason."""
    data = BOMBS[name][:place] + noise + BOMBS[name][place + len(noise) : 4_000]
    with suppress(UnreadableFrame):
        refuse_overlong_png(data + bytes(2 * SEEN), 1_000_000)
    with suppress(UnreadableFrame):
        decode(data, read_header(data, max_pixels=1_000_000))
