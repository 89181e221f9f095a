from functools import cache

import cv2
import numpy as np
import pytest
from numpy.random import default_rng

from vision_assets.simulation.blanks import Blank, make_blank
from vision_assets.simulation.settings import Material

MATERIALS: tuple[Material, ...] = ("turned", "brushed", "moulded")


@cache
def blank(material: Material) -> Blank:
    return make_blank(material, default_rng(5))


@pytest.mark.parametrize("material", MATERIALS)
def test_places_keep_away_from_every_edge(material: Material) -> None:
    face = (blank(material).surface > 127).astype(np.uint8)
    distance = cv2.distanceTransform(face, cv2.DIST_L2, 5)
    x, y = blank(material).places.astype(int).T
    assert len(x) > 50_000
    assert distance[y, x].min() > 14


@pytest.mark.parametrize("material", MATERIALS)
def test_inward_leads_from_the_rim_into_the_part(material: Material) -> None:
    part = blank(material)
    for point in part.rim[::37]:
        inward = part.inward(point)
        inward /= np.hypot(*inward)
        x, y = np.round(point + 6 * inward).astype(int)
        outside_x, outside_y = np.round(point - 6 * inward).astype(int)
        assert part.surface[y, x] == 255
        assert part.surface[outside_y, outside_x] == 0


@pytest.mark.parametrize("material", MATERIALS)
def test_the_other_side_of_a_part_has_the_mirrored_outline(material: Material) -> None:
    face = blank(material).surface > 127
    assert np.mean(face != face[:, ::-1]) < 0.003


@pytest.mark.parametrize("material", MATERIALS)
def test_parts_take_turns_with_several_surfaces(material: Material) -> None:
    first, second = blank(material).textures[:2]
    assert not np.array_equal(first, second)
