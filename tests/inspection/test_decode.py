"""Every file is either decoded to the pixels it holds or refused with the right reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from inspection.decode import Header, decode, read_header
from inspection.halves import Halves
from store.errors import UnreadableFrame

WIDTH, HEIGHT = 83, 61


def picture(channels: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    return cv2.GaussianBlur(rng.integers(0, 256, shape, np.uint8), (0, 0), 1.5).astype(np.uint8)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colour(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(picture(3)).convert(mode)


LOSSLESS: dict[str, tuple[str, dict[str, object]]] = {
    "png": ("PNG", {}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff-deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}
LOSSY: dict[str, tuple[str, dict[str, object]]] = {
    "jpeg": ("JPEG", {"quality": 90}),
    "jpeg-progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "jpeg-restart": ("JPEG", {"quality": 90, "restart_marker_blocks": 4}),
    "tiff-jpeg": ("TIFF", {"compression": "jpeg"}),
}
ENCODED = {
    f"{name}-{mode}": encode(colour(mode), kind, **options)
    for name, (kind, options) in {**LOSSLESS, **LOSSY}.items()
    for mode in ("RGB", "L")
}


def reason_of(data: bytes, **options: int) -> str:
    with pytest.raises(UnreadableFrame) as caught:
        decode(data, read_header(data, **options))
    return caught.value.reason


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_lossless_formats_give_the_very_pixels_in_rgb_order(name: str, mode: str) -> None:
    kind, options = LOSSLESS[name]
    image = colour(mode)
    pixels = decode(encode(image, kind, **options))
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.asarray(image).reshape(HEIGHT, WIDTH, -1))


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_give_what_another_decoder_gives(name: str) -> None:
    data = ENCODED[f"{name}-RGB"]
    other = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode(data).astype(int) - other).max() <= 3


@pytest.mark.parametrize("name", ENCODED)
def test_the_header_is_what_is_decoded(name: str) -> None:
    header = read_header(ENCODED[name])
    assert header.format == name.split("-")[0].upper()
    assert (header.width, header.height) == (WIDTH, HEIGHT)
    assert header.channels == (3 if name.endswith("RGB") else 1)
    assert decode(ENCODED[name], header).shape == (HEIGHT, WIDTH, header.channels)


@pytest.mark.parametrize(
    ("mode", "kind", "channels"),
    [
        ("1", "PNG", 1),
        ("1", "BMP", 1),
        ("1", "TIFF", 1),
        ("LA", "PNG", 1),
        ("P", "PNG", 3),
        ("P", "BMP", 3),
        ("P", "TIFF", 3),
        ("RGBA", "PNG", 3),
        ("RGBA", "TIFF", 3),
        ("RGBA", "BMP", 3),
    ],
)
def test_palettes_are_colour_and_alpha_is_dropped(mode: str, kind: str, channels: int) -> None:
    image = colour(mode)
    pixels = decode(encode(image, kind))
    expected = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    assert np.array_equal(pixels, expected.reshape(HEIGHT, WIDTH, channels))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_ignored(kind: str, orientation: int) -> None:
    image = colour()
    plain = decode(encode(image, kind))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(image, kind, exif=exif)
    header = read_header(data)
    assert (header.width, header.height) == (WIDTH, HEIGHT)
    assert np.array_equal(decode(data, header), plain)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_tiff_is_refused(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert reason_of(encode(colour(), "TIFF", exif=exif)) == "unsupported_mode"


@pytest.mark.parametrize("name", ENCODED)
@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=40, deadline=None)
def test_a_file_cut_anywhere_is_truncated(name: str, share: float) -> None:
    data = ENCODED[name]
    cut = data[: int(len(data) * share)]
    expected = {"empty"} if not cut else {"truncated"}
    if len(cut) < 8:
        expected.add("not_an_image")
    assert reason_of(cut) in expected


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("missing", [1, 2, 3, 10, 100])
def test_a_few_missing_bytes_are_noticed(name: str, missing: int) -> None:
    assert reason_of(ENCODED[name][:-missing]) == "truncated"


@pytest.mark.parametrize("name", [name for name in ENCODED if name.startswith(("jpeg", "png"))])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_file_whose_end_was_never_written_is_truncated(name: str, share: float) -> None:
    data = ENCODED[name]
    kept = int(len(data) * share)
    assert reason_of(data[:kept] + bytes(len(data) - kept)) == "truncated"


@pytest.mark.parametrize("name", ["jpeg-RGB", "jpeg-L", "jpeg-restart-RGB"])
@given(share=st.floats(0.05, 0.6))
@settings(max_examples=40, deadline=None)
def test_a_jpeg_that_was_cut_and_closed_again_is_truncated(name: str, share: float) -> None:
    data = ENCODED[name]
    scan = data.rfind(b"\xff\xda") + 20
    cut = data[: scan + int((len(data) - scan) * share)].rstrip(b"\xff") + b"\xff\xd9"
    assert reason_of(cut) == "truncated"


@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    quality=st.integers(1, 100),
    grey=st.sampled_from([0, 126, 127, 128, 129, 255]),
    mode=st.sampled_from(["RGB", "L"]),
    options=st.sampled_from(
        [{}, {"optimize": True}, {"progressive": True}, {"restart_marker_blocks": 1}]
    ),
)
@settings(max_examples=200, deadline=None)
def test_a_flat_jpeg_is_never_taken_for_a_cut_one(
    size: tuple[int, int], quality: int, grey: int, mode: str, options: dict[str, object]
) -> None:
    flat = Image.new("L", size, grey).convert(mode)
    data = encode(flat, "JPEG", quality=quality, **options)
    assert decode(data).shape[:2] == size[::-1]
    assert decode(data + b"notes").shape[:2] == size[::-1]


@given(seed=st.integers(0, 99), quality=st.integers(1, 100), progressive=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_jpeg_whose_lower_half_is_mid_grey_is_decoded(
    seed: int, quality: int, progressive: bool
) -> None:
    image = picture(3, seed)
    image[HEIGHT // 2 :] = 128
    data = encode(Image.fromarray(image), "JPEG", quality=quality, progressive=progressive)
    assert decode(data).shape == image.shape


def test_the_end_marker_of_a_thumbnail_does_not_count() -> None:
    whole = ENCODED["jpeg-RGB"]
    thumbnail = b"Exif\0\0" + encode(colour().resize((16, 12)), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = whole[:2] + segment + whole[2:]
    assert np.array_equal(decode(data), decode(whole))
    assert reason_of(data[: len(data) // 2]) == "truncated"


def test_bytes_after_the_end_of_a_jpeg_do_no_harm() -> None:
    data = ENCODED["jpeg-RGB"]
    assert np.array_equal(decode(data + b"camera maker's notes"), decode(data))


@given(name=st.sampled_from(sorted(ENCODED)), position=st.floats(0, 1), value=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_a_flipped_byte_never_raises_anything_else(name: str, position: float, value: int) -> None:
    data = bytearray(ENCODED[name])
    data[int(position * (len(data) - 1))] = value
    try:
        header = read_header(bytes(data), max_pixels=10_000_000)
        assert decode(bytes(data), header).shape == (header.height, header.width, header.channels)
    except UnreadableFrame as error:
        assert error.reason  # noqa: PT017


@given(data=st.binary(max_size=200), magic=st.sampled_from([b"\xff\xd8\xff", b"BM", b"II*\0", b""]))
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_noise_is_refused(data: bytes, magic: bytes) -> None:
    with pytest.raises(UnreadableFrame):
        decode(magic + data, max_pixels=10_000)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"frame_id,label\n1,good\n", "not_an_image"),
        (bytes(5000), "not_an_image"),
        (encode(colour(), "GIF"), "unsupported_format"),
        (encode(colour(), "WEBP"), "unsupported_format"),
        (encode(colour(), "JPEG2000"), "unsupported_format"),
        (encode(colour(), "AVIF"), "unsupported_format"),
        (encode(colour(), "TIFF", big_tiff=True), "unsupported_format"),
        (encode(colour("CMYK"), "JPEG"), "unsupported_mode"),
        (encode(colour("CMYK"), "TIFF"), "unsupported_mode"),
        (encode(colour("LAB"), "TIFF"), "unsupported_mode"),
        (encode(colour("F"), "TIFF"), "unsupported_mode"),
        (encode(colour("I"), "TIFF"), "sixteen_bit"),
    ],
)
def test_what_is_not_accepted_says_why(data: bytes, reason: str) -> None:
    assert reason_of(data) == reason


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_refused(suffix: str, channels: int) -> None:
    encoded = cv2.imencode(suffix, picture(channels).astype(np.uint16) * 257)[1].tobytes()
    assert reason_of(encoded) == "sixteen_bit"


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_several_pictures_in_a_file_are_refused(kind: str) -> None:
    first, second = colour(), Image.fromarray(picture(3, seed=1))
    data = encode(first, kind, save_all=True, append_images=[second])
    with pytest.raises(UnreadableFrame, match="several pictures") as caught:
        read_header(data)
    assert caught.value.reason == "unsupported_mode"


def test_grey_for_colour_and_the_reverse_are_refused() -> None:
    with pytest.raises(UnreadableFrame, match=r"has 1 channel\(s\), expected 3") as caught:
        decode(ENCODED["png-L"], channels=3)
    assert caught.value.reason == "wrong_channels"
    with pytest.raises(UnreadableFrame, match=r"has 3 channel\(s\), expected 1"):
        decode(ENCODED["png-RGB"], channels=1)
    assert decode(ENCODED["png-RGB"], channels=3).shape[2] == 3


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("side", [10_000, 14_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    data = bomb(side, side)
    assert reason_of(data) == "too_large"
    assert read_header(data, max_pixels=side * side).width == side


def test_limits_are_exact() -> None:
    data = ENCODED["png-L"]
    assert read_header(data, max_pixels=WIDTH * HEIGHT, min_side_px=HEIGHT).height == HEIGHT
    assert reason_of(data, max_pixels=WIDTH * HEIGHT - 1) == "too_large"
    assert reason_of(data, min_side_px=HEIGHT + 1) == "too_small"


@pytest.mark.parametrize("reduced", [1, 2, 4, 8])
@pytest.mark.parametrize("name", ["jpeg-RGB", "jpeg-L", "png-RGB", "bmp-L", "tiff-RGB"])
def test_reduced_decoding_gives_a_smaller_picture(name: str, reduced: int) -> None:
    pixels = decode(ENCODED[name], reduced=reduced)
    spare = reduced - 1 if name.startswith("jpeg") else 0
    assert pixels.shape[:2] == ((HEIGHT + spare) // reduced, (WIDTH + spare) // reduced)
    whole = decode(ENCODED[name])
    assert pixels.mean(axis=(0, 1)) == pytest.approx(whole.mean(axis=(0, 1)), abs=3)


@pytest.mark.parametrize("reduced", [2, 4, 8])
@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_reduced_pixels_are_the_means_of_cells(name: str, reduced: int) -> None:
    """As halving gives them, so that a frame that comes raw is judged as its file would be."""
    rng = np.random.default_rng(5)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (480, 640), np.uint8), (0, 0), 2)
    data = cv2.imencode(f".{name[:3].replace('jpe', 'jpg')}", picture)[1].tobytes()
    halves = Halves(decode(data)).at(reduced.bit_length() - 1)
    difference = np.abs(decode(data, reduced=reduced).astype(float) - halves)
    assert difference.mean() < (1 if name == "jpeg" else 1e-9)


def test_another_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reduced is 3, expected one of \[1, 2, 4, 8\]"):
        decode(ENCODED["jpeg-L"], reduced=3)


def test_a_header_of_other_bytes_is_noticed() -> None:
    with pytest.raises(UnreadableFrame, match="expected 10 x 20"):
        decode(ENCODED["png-L"], Header("PNG", 10, 20, 1))


def test_a_host_without_memory_is_not_blamed_on_the_frame() -> None:
    """In a process of its own, which may take no more memory than it has."""
    code = """
import resource
import cv2, numpy as np
from inspection.decode import decode
data = bytes(cv2.imencode(".png", np.zeros((6000, 6000, 3), np.uint8))[1])
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 50_000_000,) * 2)
try:
    decode(data)
except MemoryError:
    print("no memory")
"""
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "no memory\n"
