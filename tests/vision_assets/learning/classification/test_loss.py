from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vision_assets.learning.cells import cell_shares
from vision_assets.learning.cells import labelled as targets
from vision_assets.learning.classification.loss import losses
from vision_assets.learning.classification.network import Answer
from vision_assets.learning.task import UNKNOWN_CLASS, Sample

CLASSES = ("pit", "crack")
PIXELS = np.zeros((32, 32, 1), np.uint8)


def _mask(rows: slice, columns: slice, kind: int) -> NDArray[np.uint8]:
    mask = np.zeros((32, 32), np.uint8)
    mask[rows, columns] = kind
    return mask


PIT = Sample(PIXELS, True, ("pit",), _mask(slice(0, 8), slice(0, 8), 1))
GOOD = Sample(PIXELS, False, (), np.zeros((32, 32), np.uint8))
DRAWN = Sample(PIXELS, True, None, _mask(slice(0, 8), slice(0, 8), UNKNOWN_CLASS))
UNMARKED = Sample(PIXELS, True, ("crack",), None)


def _answer(number: int, cells: float = 0.0) -> Answer:
    """4 x 4 cells; every logit is `cells`."""
    logits = torch.full((number, 3, 4, 4), cells)
    image = torch.full((number, 3), cells)
    return Answer(image[:, 0], image[:, 1:], torch.zeros(number, 5), logits)


def test_targets_say_what_is_known() -> None:
    found = targets([PIT, GOOD, DRAWN, UNMARKED], CLASSES)
    assert found["bad"].tolist() == [1, 0, 1, 1]
    assert found["has_mask"].tolist() == [True, True, True, False]
    assert found["classes"][:2].tolist() == [[1, 0], [0, 0]]
    assert torch.isnan(found["classes"][2]).all()
    assert found["classes"][3].tolist() == [0, 1]


def test_shares_are_parts_of_cells() -> None:
    mask = torch.from_numpy(_mask(slice(0, 8), slice(4, 8), 2))[None]
    shares = cell_shares(mask, 2, (4, 4))
    assert shares.shape == (1, 3, 4, 4)
    assert shares[0, :, 0, 0].tolist() == [0.5, 0.0, 0.5]
    assert float(shares.sum()) == 1.0


def test_without_knowledge_every_part_is_log_two() -> None:
    """At logit 0 each cell costs log 2, once for the defective and once for the hardest good."""
    parts = losses(_answer(2), targets([PIT, GOOD], CLASSES))
    assert float(parts["image"]) == pytest.approx(math.log(2))
    assert float(parts["image_class"]) == pytest.approx(0.5 * math.log(2))
    assert float(parts["cell"]) == pytest.approx((2 * math.log(2) + math.log(2)) / 2)
    # Planes of two frames: pit has a defective cell in one of four.
    assert float(parts["cell_class"]) == pytest.approx(0.5 * math.log(2) * (2 + 1 + 1 + 1) / 4)


def test_a_perfect_answer_costs_nothing() -> None:
    answer = _answer(2, -30.0)
    answer.cells[0, [0, 1], 0, 0] = 30.0
    answer.score[0] = 30.0
    answer.class_logits[0, 0] = 30.0
    parts = losses(answer, targets([PIT, GOOD], CLASSES))
    assert sum(float(part) for part in parts.values()) == pytest.approx(0, abs=1e-6)


def test_a_frame_without_outline_is_judged_as_an_image_only() -> None:
    parts = losses(_answer(1), targets([UNMARKED], CLASSES))
    assert float(parts["cell"]) == float(parts["cell_class"]) == 0.0
    assert float(parts["image"]) > 0


def test_an_unknown_class_teaches_no_class() -> None:
    parts = losses(_answer(1), targets([DRAWN], CLASSES))
    assert float(parts["image_class"]) == float(parts["cell_class"]) == 0.0
    assert float(parts["cell"]) > 0


def test_a_defect_of_one_pixel_still_has_a_cell() -> None:
    tiny = Sample(PIXELS, True, ("pit",), _mask(slice(9, 10), slice(9, 10), 1))
    low = losses(_answer(1, -5.0), targets([tiny], CLASSES))
    assert float(low["cell"]) == pytest.approx(math.log1p(math.exp(5)) + math.log1p(math.exp(-5)))


def test_a_small_defect_weighs_as_much_as_a_large_one() -> None:
    large = Sample(PIXELS, True, ("pit",), _mask(slice(0, 32), slice(0, 24), 1))
    small, big = (
        losses(_answer(1, -5.0), targets([sample], CLASSES))["cell"] for sample in (PIT, large)
    )
    assert float(small) == pytest.approx(float(big))
