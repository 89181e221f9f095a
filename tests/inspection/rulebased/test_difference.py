from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection.rulebased.align import Alignment
from inspection.rulebased.difference import Place, in_frame, places
from inspection.rulebased.template import Laid, Template, Tolerance, lay, learn
from tests.data.boards.generate import Shot, board, scratched, shoot

TEMPLATE = learn([board()], Tolerance())


def laid(plane: np.ndarray) -> Laid:
    return lay(plane, TEMPLATE.mean, Tolerance())


def test_the_template_itself_has_no_place() -> None:
    assert places(laid(board()), TEMPLATE) == []


@settings(max_examples=20, deadline=None)
@given(x=st.integers(15, 185), y=st.integers(12, 150))
def test_a_blotch_is_found_where_it_is(x: int, y: int) -> None:
    is_dark = bool(board()[y - 3 : y + 3, x - 3 : x + 3].mean() < 128)
    spoilt = scratched(board(), x, y, 255 if is_dark else 0, size_px=10)
    shot = shoot(spoilt, Shot((2, -1), noise=0.5))
    found = laid(shot)
    heaviest = in_frame(places(found, TEMPLATE)[0], found.alignment, shot.shape)
    left, top, right, bottom = heaviest.box
    assert left - 4 <= x + 2 <= right + 4
    assert top - 4 <= y - 1 <= bottom + 4


def test_kind_mass_and_order() -> None:
    spoilt = scratched(scratched(board(), 100, 12, 255, 6), 60, 12, 0, 10)
    found = places(laid(spoilt), TEMPLATE)
    assert [place.kind for place in found[:2]] == ["brighter", "darker"]
    # 36 pixels from 60 to 255 less what the blur and the band take; 100 pixels from 60 to 0.
    assert 10 < found[0].mass_px < 36 * 195 / 255
    assert found[0].mass_px > found[1].mass_px


def test_what_the_frame_does_not_show_is_no_place() -> None:
    blank = np.zeros_like(board())
    found = Laid(blank, blank, laid(board()).alignment)
    assert places(found, TEMPLATE) == []


def test_pieces_with_a_small_gap_are_one_place() -> None:
    flat = np.full((60, 60), 100, np.uint8)
    template = Template(flat, flat - 10, flat + 10)
    plane = flat.copy()
    plane[20:40, 20:24] = plane[20:40, 26:30] = 255
    still = Alignment(np.array([[1, 0, 0], [0, 1, 0]], np.float32), 1.0)
    found = places(Laid(plane, np.full_like(flat, 255), still), template)
    assert len(found) == 1
    assert found[0].box == (19, 19, 31, 41)


def test_a_place_goes_back_to_the_frame_and_stays_inside() -> None:
    moved = Alignment(np.array([[1, 0, 5], [0, 1, -3]], np.float32), 1.0)
    found = in_frame(Place("darker", 1.0, (90, 1, 99, 8)), moved, (50, 100))
    assert found.box == (95, 0, 100, 5)
    assert found.mass_px == pytest.approx(1.0)
