import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from vision_assets.simulation.marks import Canvas, Mark, apply, disc, log_uniform, moved, walk

SQUARE = np.array([[10, 10], [20, 10], [20, 14], [10, 14]], np.float32)


def frame(value: int = 100) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((30, 40, 3), value, np.uint8)


def darker(x: int, y: int, *, on_surface: bool = True) -> Mark:
    ones = np.ones((6, 8, 1), np.float32)
    return Mark(x, y, 0.5 * ones, 10 * ones, np.ones((6, 8), np.bool_), on_surface)


def face(value: int = 255) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((30, 40), value, np.uint8)


def test_a_mark_scales_and_adds_where_it_is_and_nowhere_else() -> None:
    pixels = frame()
    (rows, columns), mask = apply(pixels, face(), darker(5, 7), 1.0)
    assert (rows, columns) == (slice(7, 13), slice(5, 13))
    assert mask.all()
    assert (pixels[rows, columns] == 60).all()
    assert np.count_nonzero(pixels != 100) == 6 * 8 * 3


def test_what_a_mark_adds_is_as_bright_as_the_frame() -> None:
    pixels = frame()
    apply(pixels, face(), darker(5, 7), 2.0)
    assert pixels[8, 6, 0] == 70


@given(st.integers(-20, 60), st.integers(-20, 50))
def test_a_mark_may_lie_outside_of_the_frame(x: int, y: int) -> None:
    pixels = frame()
    (rows, columns), mask = apply(pixels, face(), darker(x, y), 1.0)
    inside = max(0, min(x + 8, 40) - max(x, 0)) * max(0, min(y + 6, 30) - max(y, 0))
    assert mask.size == inside
    assert pixels[rows, columns].shape[:2] == mask.shape
    assert np.count_nonzero(pixels[..., 0] != 100) == inside


def test_beside_the_face_only_what_stands_out_of_it_changes() -> None:
    pixels = frame()
    _, mask = apply(pixels, face(0), darker(5, 7), 1.0)
    assert not mask.any()
    assert (pixels == 100).all()
    _, mask = apply(pixels, face(0), darker(5, 7, on_surface=False), 1.0)
    assert mask.all()


def test_pixels_saturate() -> None:
    pixels = frame(250)
    ones = np.ones((2, 2, 1), np.float32)
    apply(pixels, face(), Mark(0, 0, ones, 90 * ones, np.ones((2, 2), np.bool_)), 1.0)
    assert pixels.max() == 255
    assert pixels[0, 0, 0] == 255


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_moved_is_a_roll_without_what_comes_around(right: int, down: int) -> None:
    plane = default_rng(1).integers(1, 100, (5, 7))
    expected = np.zeros_like(plane)
    for y in range(5):
        for x in range(7):
            if 0 <= y - down < 5 and 0 <= x - right < 7:
                expected[y, x] = plane[y - down, x - right]
    assert np.array_equal(moved(plane, right, down), expected)


def test_an_area_covers_its_size() -> None:
    canvas = Canvas(SQUARE, 3)
    cover = canvas.fill(SQUARE)
    assert cover.sum() == pytest.approx(40, rel=0.25)
    x, y = canvas.grid((15, 12))
    assert abs((cover * x).sum() / cover.sum()) < 0.2
    assert abs((cover * y).sum() / cover.sum()) < 0.2


@pytest.mark.parametrize("width", [1.5, 2.5, 4.0])
def test_a_stroke_covers_length_times_width_times_strength(width: float) -> None:
    path = np.array([[5.0, 5.0], [25.0, 9.0], [45.0, 5.0]], np.float32)
    canvas = Canvas(path, 6)
    half = np.full(2, 0.5, np.float32)
    cover = canvas.stroke(path, np.full(2, width, np.float32), half)
    length = 2 * np.hypot(20, 4)
    assert cover.sum() == pytest.approx(0.5 * length * width, rel=0.4)
    assert cover.max() <= 0.51


def test_log_uniform_keeps_its_bounds_and_favours_the_small() -> None:
    rng = default_rng(1)
    values = [log_uniform(rng, 2, 32) for _ in range(2000)]
    assert min(values) >= 2
    assert max(values) <= 32
    assert np.median(values) == pytest.approx(8, rel=0.1)


def test_a_blob_without_roughness_is_a_circle() -> None:
    assert np.hypot(*disc(5, default_rng(1), 0).T) == pytest.approx(np.full(64, 5))
    rough = np.hypot(*disc(5, default_rng(1), 0.5).T)
    assert rough.std() > 0.2
    assert rough.min() >= 2 - 1e-5


def test_a_walk_has_the_length_it_was_given() -> None:
    path = walk(default_rng(1), 100, 4, bend=1, kink=0.3)
    steps = np.hypot(*np.diff(path, axis=0).T)
    assert path[0].tolist() == [0, 0]
    assert steps == pytest.approx(np.full(25, 4), rel=1e-4)
