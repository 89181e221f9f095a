from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from serve.frame import IncomingFrame, RawFrame
from store.errors import InvalidInput, UnreadableFrame


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=3, max_side=9)))
def test_raw_pixels_come_back_as_they_were(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> None:
    found = RawFrame(pixels.tobytes(), pixels.shape, "uint8").pixels(max_pixels=81)
    assert found.ndim == 3
    assert np.array_equal(found.reshape(pixels.shape), pixels)


@given(
    data=st.binary(max_size=50),
    shape=st.lists(st.integers(0, 2**32 - 1), max_size=5),
    dtype=st.sampled_from(["uint8", "uint16", "", "int8"]),
)
def test_raw_pixels_that_do_not_fit_are_always_refused(
    data: bytes, shape: list[int], dtype: str
) -> None:
    fits = (
        dtype == "uint8"
        and len(shape) in (2, 3)
        and 0 < int(np.prod(shape, dtype=object)) == len(data)
    )
    if not fits:
        with pytest.raises(UnreadableFrame):
            RawFrame(data, tuple(shape), dtype).pixels(max_pixels=2**64)


def test_content_hash_is_of_the_bytes_either_way() -> None:
    expected = hashlib.sha256(b"abcd").hexdigest()
    assert IncomingFrame(b"abcd", "f").content_hash == expected
    assert IncomingFrame(RawFrame(b"abcd", (2, 2), "uint8"), "f").content_hash == expected
    assert IncomingFrame(None, "f").content_hash == ""


@pytest.mark.parametrize("seconds", [2**62, -(2**62), 253_402_300_800])
def test_impossible_time_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidInput, match="captured_at"):
        IncomingFrame(b"x", "f", captured=(seconds, 0)).check()


def test_time_of_capture_is_utc() -> None:
    captured = IncomingFrame(b"x", "f", captured=(1, 500_000_999)).captured_at
    assert captured is not None
    assert captured.isoformat() == "1970-01-01T00:00:01.500000+00:00"


@pytest.mark.parametrize(
    ("shape", "dtype", "reason", "says"),
    [
        ((1,) * 300_000, "uint8", "wrong_shape", "has 300000 numbers"),
        ((1,) * 5, "uint8", "wrong_shape", "has 5 numbers"),
        ((2, 2), "x" * 10**6, "unsupported_mode", "dtype of 1000000 characters"),
        ((2, 2), "complex128", "unsupported_mode", "dtype of 10 characters"),
        ((2, 2), "float32", "unsupported_mode", "dtype 'float32'"),
    ],
)
def test_what_may_be_of_any_length_is_not_repeated(
    shape: tuple[int, ...], dtype: str, reason: str, says: str
) -> None:
    with pytest.raises(UnreadableFrame, match=says) as caught:
        RawFrame(b"abcd", shape, dtype).pixels(max_pixels=10)
    assert caught.value.reason == reason
    assert len(str(caught.value)) < 200
