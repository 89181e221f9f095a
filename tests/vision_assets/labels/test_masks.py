from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from store.errors import InvalidInput
from vision_assets.labels import masks

CLASSES = ("crack", "pit", "scratch")


def png(values: NDArray[np.unsignedinteger]) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


@settings(max_examples=40, deadline=None)
@given(st.permutations(CLASSES), st.integers(0, 2**32 - 1))
def test_values_are_translated_by_class_name(mask_classes: list[str], seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (9, 7), dtype=np.uint8)
    found = masks.class_mask(masks.encode(values), mask_classes, CLASSES)
    for value, target in zip(values.ravel(), found.ravel(), strict=True):
        assert (mask_classes[value - 1] if value else "") == (CLASSES[target - 1] if target else "")


def test_a_class_that_is_not_marked_need_not_be_known() -> None:
    values = np.array([[0, 1]], np.uint8)
    assert masks.class_mask(png(values), ["pit", "unheard"], CLASSES).tolist() == [[0, 2]]


def test_a_value_without_a_class_is_refused() -> None:
    with pytest.raises(InvalidInput, match="value 3 but mask_classes names only 1: pit"):
        masks.class_mask(png(np.array([[0, 3]], np.uint8)), ["pit"], CLASSES)


def test_a_class_that_the_line_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidInput, match="class 'dent'; expected one of"):
        masks.class_mask(png(np.array([[1]], np.uint8)), ["dent"], CLASSES)


@pytest.mark.parametrize(
    "data",
    [
        png(np.zeros((4, 4, 3), np.uint8)),
        png(np.zeros((4, 4, 4), np.uint8)),
        cv2.imencode(".bmp", np.zeros((4, 4), np.uint8))[1].tobytes(),
    ],
    ids=["colour", "alpha", "bmp"],
)
def test_only_grey_png_is_a_mask(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="8-bit single-channel"):
        masks.read(data)


@pytest.mark.parametrize("data", [b"", b"no picture", png(np.zeros((4, 4), np.uint16))])
def test_what_is_no_picture_or_deeper_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        masks.read(data)


def test_a_damaged_mask_is_refused() -> None:
    whole = png(np.eye(64, dtype=np.uint8))
    with pytest.raises(InvalidInput):
        masks.read(whole[: len(whole) // 2])
