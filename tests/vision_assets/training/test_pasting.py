from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.vision_assets.training.conftest import MakeSource
from vision_assets.training.feed import Feed
from vision_assets.training.pasting import Paster, Piece, blend, cut, turn

Pixels = NDArray[np.uint8]


def _piece(height: int, width: int, channels: int = 1) -> Piece:
    """A dark block on a ground of 150."""
    outline = np.zeros((height, width), np.float32)
    outline[3:-3, 3:-3] = 1
    pixels = np.full((height, width, channels), 150, np.float32) - 90 * outline[:, :, None]
    return Piece(pixels, outline, outline == 0)


def _ground(level: int, channels: int = 1) -> tuple[Pixels, Pixels]:
    return np.full((64, 64, channels), level, np.uint8), np.zeros((64, 64), np.uint8)


def test_every_outlined_defect_is_found(feed: Feed) -> None:
    found = Paster(feed.train).cuttings
    outlined = {i for i in range(len(feed.train)) if feed.train.has_outline(i)}
    assert {cutting.position for cutting in found} == outlined
    for cutting in found:
        mask = feed.train.mask(cutting.position)
        assert mask is not None
        box = mask[cutting.y : cutting.y + cutting.height, cutting.x : cutting.x + cutting.width]
        assert (box == cutting.kind).any(axis=1).all()


def test_a_cut_piece_shows_defect_and_ground(feed: Feed) -> None:
    piece = cut(feed.train, next(c for c in Paster(feed.train).cuttings if c.kind == 1))
    assert piece.pixels.shape == (*piece.outline.shape, 1)
    assert piece.pixels[piece.outline == 1].mean() < 90
    assert piece.pixels[piece.ring].mean() == pytest.approx(150, abs=12)


@pytest.mark.parametrize("channels", [1, 3])
def test_blending_takes_on_the_brightness_of_the_place(channels: int) -> None:
    frame, mask = _ground(200, channels)
    changed, marked = blend(frame, mask, _piece(20, 16, channels), 2, (10, 30))
    assert changed.shape == frame.shape
    assert set(np.unique(marked)) == {0, 2}
    assert marked[13:27, 33:43].all()
    assert changed[15:25, 35:41].mean() == pytest.approx(110, abs=1)
    assert np.array_equal(changed[:9], frame[:9])
    assert (frame == 200).all()
    assert not mask.any()


@given(seed=st.integers(0, 10**6))
def test_a_turned_piece_is_the_same_defect(seed: int) -> None:
    random = np.random.default_rng(seed)
    piece = turn(_piece(14, 11), random)
    assert piece.pixels.shape == (*piece.outline.shape, 1)
    assert piece.pixels[piece.outline >= 0.99].mean() == pytest.approx(60, abs=8)
    assert piece.pixels[piece.ring].mean() == pytest.approx(150, abs=15)
    area = float(piece.outline.sum())
    assert 0.4 * 40 <= area <= 2.2 * 40


def test_drawing_needs_no_defect_of_the_line(make_source: MakeSource) -> None:
    paster = Paster(make_source([]))
    for seed in range(50):
        frame, mask = _ground(150)
        changed, marked = paster.draw(frame, mask, 255, np.random.default_rng(seed))
        assert set(np.unique(marked)) == {0, 255}
        assert (frame == 150).all()
        assert not mask.any()
        touched = np.abs(changed.astype(int) - frame)[:, :, 0]
        assert touched[marked > 0].mean() > 3
        assert touched[marked == 0].mean() < 2


def test_defects_go_where_defects_are(feed: Feed) -> None:
    """Plates have them in the middle 15 to 65 of 80 pixels."""
    paster = Paster(feed.train)
    frame, mask = _ground(150)
    rows = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        _, marked, kind = paster.paste(frame, mask, random)
        assert kind in (1, 2)
        assert set(np.unique(marked)) <= {0, kind}
        rows.append(np.nonzero(marked)[0].mean())
    assert 25 < np.mean(rows) < 39


def test_the_place_that_looks_like_its_own_is_taken(make_source: MakeSource) -> None:
    """A piece cut at an edge between dark and bright goes to an edge."""
    frame, mask = _ground(40)
    frame[:, 32:] = 200
    mask[28:36, 28:36] = 1
    paster = Paster(make_source([(frame, mask)]))
    distance = []
    for seed in range(80):
        marked = paster.paste(frame, mask * 0, np.random.default_rng(seed))[1]
        if marked.any():
            distance.append(abs(np.nonzero(marked)[1].mean() - 32))
    assert np.median(distance) < 6
