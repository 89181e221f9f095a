from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from store.errors import InvalidInput
from tests.data.labels.generate import half_mask
from vision_assets.labels.formats import painting

# pycocotools 2.0.11 does not know numpy 2's `copy` argument; what it gives is right.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (40, 32)


def saved(tmp_path: Path, image: Image.Image) -> NDArray[np.uint8]:
    path = tmp_path / "mask.png"
    image.save(path)
    return painting.from_file(path, "pit").values


def test_grey_masks_are_cut_at_half(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(saved(tmp_path, Image.fromarray(values)), values >= 128)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_black_and_white_is_read_in_every_mode(tmp_path: Path, mode: str) -> None:
    found = saved(tmp_path, Image.fromarray(half_mask()).convert(mode))
    assert np.array_equal(found, half_mask(1))


def test_masks_of_zero_and_one_are_read(tmp_path: Path) -> None:
    assert np.array_equal(saved(tmp_path, Image.fromarray(half_mask(1))), half_mask(1))


def test_an_empty_mask_marks_nothing(tmp_path: Path) -> None:
    assert not saved(tmp_path, Image.fromarray(half_mask(0))).any()


def test_transparency_counts_and_colour_does_not(tmp_path: Path) -> None:
    colours = np.full((32, 40, 4), 164, np.uint8)
    colours[:, :, 3] = half_mask(200)
    assert np.array_equal(saved(tmp_path, Image.fromarray(colours)), half_mask(1))


def test_a_palette_counts_by_its_transparency(tmp_path: Path) -> None:
    """As the masks of the cookies: 256 indices of one green that differ only in transparency."""
    indices = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([35, 164, 54] * 256)
    path = tmp_path / "mask.png"
    image.save(path, transparency=bytes(range(256)))
    assert np.array_equal(painting.from_file(path, "pit").values, indices >= 128)


def test_a_palette_without_transparency_counts_by_its_grey(tmp_path: Path) -> None:
    image = Image.fromarray(half_mask(3)).convert("P")
    image.putdata(half_mask(3).ravel().tolist())
    image.putpalette([0, 0, 0, 9, 9, 9, 9, 9, 9, 255, 255, 255])
    assert np.array_equal(saved(tmp_path, image), half_mask(1))


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n1234"], ids=["empty", "text", "cut header"]
)
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "mask.png").write_bytes(data)
    with pytest.raises(InvalidInput):
        painting.from_file(tmp_path / "mask.png", "pit")


def test_a_cut_mask_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InvalidInput, match="cannot be decoded"):
        painting.from_file(path, "pit")


def test_sixteen_bit_masks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(path)
    with pytest.raises(InvalidInput, match="8 bits"):
        painting.from_file(path, "pit")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_run_lengths_come_back_as_they_were(seed: int, compressed: bool) -> None:
    expected = np.random.default_rng(seed).integers(0, 2, SIZE[::-1], dtype=np.uint8)
    encoded = coco_mask.encode(np.asfortranarray(expected))
    counts: object = encoded["counts"].decode()
    if not compressed:
        flat = expected.ravel(order="F")
        edges = np.flatnonzero(np.diff(flat, prepend=0)).tolist()
        counts = np.diff([0, *edges, flat.size]).tolist()
    segmentation = {"size": [SIZE[1], SIZE[0]], "counts": counts}
    assert np.array_equal(painting.from_shapes(SIZE, [("pit", segmentation)]).values, expected)


def test_where_shapes_overlap_the_smaller_one_shows() -> None:
    small = [[2, 2, 4, 2, 4, 4, 2, 4]]
    large = [[0, 0, 10, 0, 10, 10, 0, 10]]
    marking = painting.from_shapes(SIZE, [("a", small), ("b", large)])
    assert marking.classes == ("a", "b")
    assert (marking.values[2:4, 2:4] == 1).all()
    assert np.count_nonzero(marking.values == 2) == 100 - 4


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        ("text", "list of polygons or run lengths"),
        ([], "list of polygons or run lengths"),
        ([[1, 2, 3, 4]], "at least three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "at least three points"),
        ([1, 2, 3, 4, 5, 6], "at least three points"),
        ([[1, 2, 3, 4, 5, "6"]], "list numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "list numbers"),
        ({"counts": [5]}, "run lengths of size None"),
        ({"counts": [5], "size": [40, 32]}, "run lengths of size [40, 32], expected [32, 40]"),
        ({"size": [32, 40]}, "run lengths without counts"),
        ({"counts": [-1, 1281], "size": [32, 40]}, "run lengths without counts"),
        ({"counts": [5, 6], "size": [32, 40]}, "run lengths over 11 pixels, expected 1280"),
        ({"counts": "O", "size": [32, 40]}, "without counts that can be read"),
        ({"counts": "", "size": [32, 40]}, "run lengths over 0 pixels, expected 1280"),
        ({"counts": "55", "size": [32, 40]}, "run lengths over 10 pixels, expected 1280"),
    ],
)
def test_wrong_segmentations_are_refused(segmentation: object, expected: str) -> None:
    with pytest.raises(InvalidInput) as error:
        painting.from_shapes(SIZE, [("pit", segmentation)])
    assert expected in str(error.value)
