from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.data.labels.generate import HEIGHT, WIDTH, DataSet
from vision_assets.labels.formats import yolo

# pycocotools 2.0.11 does not know numpy 2's `copy` argument; what it gives is right.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAMES = "names: [pit, scratch, ok]\n"


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("train/images/1.png", "train/labels/1.txt"),
        ("images/train/1.png", "labels/train/1.txt"),
        ("images/images/1.png", "images/labels/1.txt"),
        ("images/images/1.png", "labels/images/1.txt"),
        ("obj/1.png", "obj/1.txt"),
    ],
)
def test_labels_lie_where_the_layouts_have_them(data_set: DataSet, image: str, label: str) -> None:
    data_set.draw(image)
    data_set.write(label, "1 0.5 0.5 0.25 0.5\n")
    data_set.write("data.yaml", NAMES)
    frames, source = data_set.read("yolo")
    (box,) = frames[image].boxes
    expected = ("scratch", WIDTH * 0.375, HEIGHT * 0.25, WIDTH * 0.25, HEIGHT * 0.5)
    assert (box.name, box.x, box.y, box.width, box.height) == expected
    assert (source.faults, source.ignored()) == ([], {})


def test_an_empty_file_is_good_and_a_missing_one_says_nothing(data_set: DataSet) -> None:
    data_set.draw("images/1.png", "images/2.png", "images/3.png")
    data_set.write("labels/1.txt", "\n")
    data_set.write("labels/3.txt", "2 0.5 0.5 1 1")
    data_set.write("data.yaml", "names: {0: pit, 2: ok}")
    frames, source = data_set.read("yolo")
    assert [frame.label for frame in frames.values()] == ["good", None, "good"]
    assert source.counts.total() == 1


def test_polygons_become_boxes_and_masks(data_set: DataSet) -> None:
    data_set.draw("images/1.png", "images/2.png")
    data_set.write("labels/1.txt", "0 0.25 0.25 0.75 0.25 0.75 0.5 0.25 0.5")
    data_set.write("labels/2.txt", "0 0.25 0.25 0.75 0.25 0.75 0.5\n0 0.5 0.5 0.1 0.1")
    data_set.write("data.yaml", NAMES)
    frames, _ = data_set.read("yolo")
    (box,) = frames["images/1.png"].boxes
    assert (box.x, box.y, box.width, box.height) == (10, 8, 20, 8)
    load = frames["images/1.png"].load_mask
    assert load
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[8:16, 10:30] = 1
    assert np.array_equal(load().values, expected)
    assert frames["images/2.png"].load_mask is None, "one of its defects has no outline"


def test_a_broken_image_keeps_its_classes(data_set: DataSet) -> None:
    data_set.write("images/1.png", "no picture")
    data_set.write("labels/1.txt", "0 0.5 0.5 0.1 0.1")
    data_set.write("data.yaml", NAMES)
    frames, source = data_set.read("yolo")
    assert (frames["images/1.png"].classes, frames["images/1.png"].boxes) == (("pit",), ())
    assert source.faults == []


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("pit 0.5 0.5 0.1 0.1", "expected a class number and numbers"),
        ("0 0.5 0.5 0.1 x", "expected a class number and numbers"),
        ("3 0.5 0.5 0.1 0.1", "class 3 has no name; data.yaml names 3"),
        ("0 0.5 0.5 nan 0.1", "expected numbers that are finite"),
        ("0 0.5 0.5 0 0.1", "the box or outline has no area"),
        ("0 0.5 0.5 0.2 -0.1", "the box or outline has no area"),
        ("0 0.5 0.5 0.1", "3 numbers after the class, expected 4, or 6, 8, 10, …"),
        ("0 0.5 0.5 0.1 0.1 0.9", "5 numbers after the class, expected 4, or 6, 8, 10, …"),
        ("0 0.5 0.5 0.5 0.6 0.5 0.7", "the box or outline has no area"),
    ],
)
def test_wrong_rows_are_named(data_set: DataSet, row: str, expected: str) -> None:
    data_set.draw("images/1.png")
    data_set.write("labels/1.txt", f"0 0.5 0.5 0.1 0.1\n{row}\n")
    data_set.write("data.yaml", NAMES)
    _, source = data_set.read("yolo")
    assert source.faults == [f"labels/1.txt line 2: {expected}"]


@pytest.mark.parametrize("text", ["names: 3", "names: {a: pit}", "names: [", "path: elsewhere"])
def test_names_are_needed(data_set: DataSet, text: str) -> None:
    data_set.draw("images/1.png")
    data_set.write("data.yaml", text)
    _, source = data_set.read("yolo")
    assert "no data.yaml with `names`" in source.faults[-1]


def test_a_label_file_without_an_image_is_a_fault(data_set: DataSet) -> None:
    data_set.draw("images/1.png")
    data_set.write("labels/2.txt", "")
    data_set.write("data.yaml", NAMES)
    _, source = data_set.read("yolo")
    assert source.faults == [
        "labels/2.txt: describes no image: expected one of that name below images/"
    ]


share = st.floats(0.01, 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(share, share), min_size=3, max_size=8, unique=True))
def test_a_box_goes_around_all_corners(corners: Sequence[tuple[float, float]]) -> None:
    words = ["0", *(repr(value) for corner in corners for value in corner)]
    xs, ys = zip(*corners, strict=True)
    assume(max(xs) > min(xs) and max(ys) > min(ys))
    box = yolo._shape(words, {0: "pit"}).box(WIDTH, HEIGHT)
    assert box.x == pytest.approx(min(xs) * WIDTH, abs=1e-6)
    assert box.x + box.width == pytest.approx(max(xs) * WIDTH, abs=1e-6)
    assert box.y + box.height == pytest.approx(max(ys) * HEIGHT, abs=1e-6)
