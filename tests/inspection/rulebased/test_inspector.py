"""Verdicts without an engine: marked in every case, and never PASS for what is not known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from inspection.decision import Label
from inspection.inspector import FrameContext, Inspection
from inspection.rulebased.check import Check
from inspection.rulebased.inspector import MARK, RuleBasedInspector, grey
from store.errors import Unavailable, UnreadableFrame
from tests.data.boards.generate import HEIGHT, WIDTH, Shot, any_shot, board, scratched, shoot

KNOWN = FrameContext("top", "a")


@pytest.fixture(scope="module")
def inspector(golden_check: Check) -> RuleBasedInspector:
    return RuleBasedInspector(golden_check, "0123abcd")


def png(plane: np.ndarray) -> bytes:
    return cv2.imencode(".png", plane)[1].tobytes()


def codes(answer: Inspection) -> list[str]:
    return [reason.code for reason in answer.verdict.reasons]


@pytest.mark.parametrize("seed", range(50, 56))
def test_a_good_frame_passes_and_says_who_passed_it(
    inspector: RuleBasedInspector, seed: int
) -> None:
    answer = inspector.inspect(png(shoot(board(), any_shot(seed), seed)), KNOWN)
    assert answer.verdict.label is Label.PASS
    (mark,) = answer.verdict.reasons
    assert (mark.code, mark.name) == (MARK, "0123abcd")
    assert answer.outputs.class_scores.shape == (1, 0)


def test_a_blotch_is_rejected_with_its_place(inspector: RuleBasedInspector) -> None:
    spoilt = scratched(board(), 120, 60, 255 if board()[60, 120] < 128 else 0, 12)
    answer = inspector.inspect(png(shoot(spoilt, any_shot(3), 3)), KNOWN)
    assert answer.verdict.label is Label.REJECT
    assert codes(answer)[:3] == [MARK, "score", "difference"]
    difference = answer.verdict.reasons[2]
    assert difference.name in ("darker", "brighter")
    assert difference.value > difference.limit > 0
    # The shot moved it by up to three pixels and a degree.
    assert difference.x == pytest.approx(120 / WIDTH, abs=0.05)
    assert difference.y == pytest.approx(60 / HEIGHT, abs=0.05)
    score = answer.verdict.reasons[1]
    assert score.x == pytest.approx(difference.x, abs=1 / 16)
    assert score.y == pytest.approx(difference.y, abs=1 / 16)


@pytest.mark.parametrize(
    ("context", "code", "name"),
    [
        (FrameContext("side", "a"), "unknown_camera", "side"),
        (FrameContext("top", "c"), "unknown_product", "c"),
        (FrameContext("top", ""), "unknown_product", ""),
    ],
)
def test_what_has_no_template_is_reviewed(
    inspector: RuleBasedInspector, context: FrameContext, code: str, name: str
) -> None:
    answer = inspector.inspect(png(board()), context)
    assert answer.verdict.label is Label.REVIEW
    assert [(reason.code, reason.name) for reason in answer.verdict.reasons[1:]] == [(code, name)]
    assert codes(answer)[0] == MARK


@pytest.mark.parametrize("level", [0, 60, 255])
def test_an_empty_frame_never_passes(inspector: RuleBasedInspector, level: int) -> None:
    answer = inspector.inspect(png(np.full((HEIGHT, WIDTH), level, np.uint8)), KNOWN)
    assert answer.verdict.label is not Label.PASS
    assert "measure" in codes(answer)


def test_a_lamp_beyond_what_was_seen_is_reviewed(inspector: RuleBasedInspector) -> None:
    answer = inspector.inspect(png(shoot(board(), Shot(gain=0.6), 1)), KNOWN)
    assert answer.verdict.label is Label.REVIEW
    assert codes(answer)[:2] == [MARK, "measure"]
    assert "brightness" in [reason.name for reason in answer.verdict.reasons]


def test_a_part_of_another_product_never_passes(inspector: RuleBasedInspector) -> None:
    answer = inspector.inspect(png(shoot(board(1))), KNOWN)
    assert answer.verdict.label is Label.REJECT


def test_another_size_is_fitted_as_for_a_graph(inspector: RuleBasedInspector) -> None:
    large = cv2.resize(shoot(board()), (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_CUBIC)
    answer = inspector.inspect(png(np.asarray(large)), KNOWN)
    assert answer.verdict.label is not Label.REJECT
    assert "difference" not in codes(answer)


def test_raw_pixels_are_answered_like_files(inspector: RuleBasedInspector) -> None:
    plane = shoot(scratched(board(), 100, 12))
    raw, encoded = (
        inspector.inspect_pixels(plane[:, :, None], KNOWN),
        inspector.inspect(png(plane), KNOWN),
    )
    assert raw.verdict == encoded.verdict


def test_unreadable_bytes_are_refused_like_anywhere(inspector: RuleBasedInspector) -> None:
    with pytest.raises(UnreadableFrame):
        inspector.inspect(b"no picture", KNOWN)


def test_threads_share_one(inspector: RuleBasedInspector) -> None:
    frames = [png(shoot(board(), any_shot(seed), seed)) for seed in range(12)]
    alone = [inspector.inspect(data, KNOWN).verdict for data in frames]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: inspector.inspect(data, KNOWN).verdict, frames))
    assert together == alone
    items = [(str(index), data, KNOWN) for index, data in enumerate(frames)]
    many = [answer for _, answer in inspector.inspect_many(items, batch_size=3)]
    assert [one.verdict for one in many if isinstance(one, Inspection)] == alone


def test_there_is_no_graph_to_run(inspector: RuleBasedInspector) -> None:
    with pytest.raises(Unavailable):
        inspector.engine.run(np.zeros((1, HEIGHT, WIDTH, 1), np.uint8))


def test_colour_is_looked_at_in_grey() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[..., 1] = 100
    assert grey(pixels).tolist() == [[59, 59], [59, 59]]
