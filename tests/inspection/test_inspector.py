import math
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from inspection.bundle import Bundle
from inspection.decision import Label, decide
from inspection.engines.engine import open_engine
from inspection.inspector import FrameContext, Inspection, Inspector, Item
from inspection.preprocess import prepare
from store.errors import Unavailable, UnreadableFrame
from tests.data.bundle import generate

NOWHERE = FrameContext()
DARK, DOUBTFUL, BRIGHT = (generate.frame(brightness) for brightness in (0.2, 0.5, 0.9))


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def inspector(request: pytest.FixtureRequest, tiny: Bundle) -> Inspector:
    engine = open_engine(request.param, tiny.folder, streams=2)
    return Inspector(tiny.contract, tiny.rule, engine)


def items(count: int) -> list[Item]:
    """Frames of all kinds, every fifth broken, every third raw pixels."""
    found: list[Item] = []
    for index in range(count):
        data = generate.frame(index % 7 / 6, seed=index)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        frame = data[:40] if index % 5 == 4 else np.asarray(pixels) if index % 3 == 2 else data
        found.append((f"frame-{index}", frame, NOWHERE))
    return found


def same(one: Inspection | UnreadableFrame, other: Inspection | UnreadableFrame) -> bool:
    if isinstance(one, UnreadableFrame) or isinstance(other, UnreadableFrame):
        return type(one) is type(other) and str(one) == str(other)
    return (
        one.verdict.label is other.verdict.label
        and math.isclose(one.verdict.score, other.verdict.score, abs_tol=1e-5)
        and one.statistics == other.statistics
        and np.allclose(one.outputs.embedding, other.outputs.embedding, atol=1e-4)
        and np.allclose(one.outputs.map, other.outputs.map, atol=1e-4)
    )


def alone(inspector: Inspector, item: Item) -> Inspection | UnreadableFrame:
    _, frame, context = item
    try:
        if isinstance(frame, bytes):
            return inspector.inspect(frame, context)
        return inspector.inspect_pixels(frame, context)
    except UnreadableFrame as error:
        return error


@pytest.mark.parametrize(
    ("data", "expected"),
    [(DARK, Label.PASS), (DOUBTFUL, Label.REVIEW), (BRIGHT, Label.REJECT)],
)
def test_bytes_become_a_verdict(inspector: Inspector, data: bytes, expected: Label) -> None:
    found = inspector.inspect(data, NOWHERE)
    prepared = prepare(data, inspector.contract.input)
    outputs = generate.reference(generate.graph(), prepared.pixels[np.newaxis])
    verdict = decide(outputs, inspector.contract.classes, inspector.rule)
    assert found.verdict.label is verdict.label is expected
    assert found.verdict.score == pytest.approx(verdict.score, abs=1e-5)
    assert [r.code for r in found.verdict.reasons] == [r.code for r in verdict.reasons]
    assert found.outputs.score == pytest.approx(outputs.score, abs=1e-4)
    assert found.statistics == prepared.statistics
    assert found.decode_ms > 0
    assert found.engine_ms > 0


def test_raw_pixels_get_the_answer_of_their_file(inspector: Inspector) -> None:
    pixels = np.asarray(cv2.imdecode(np.frombuffer(BRIGHT, np.uint8), cv2.IMREAD_COLOR_RGB))
    assert same(inspector.inspect_pixels(pixels, NOWHERE), inspector.inspect(BRIGHT, NOWHERE))


def test_camera_and_product_reach_the_rule(tiny: Bundle) -> None:
    strict = tiny.rule.default.model_copy(update={"pass_below": 0.0, "reject_from": 0.0})
    rule = tiny.rule.model_copy(update={"special": {"lid|left": strict}, "products": ("lid",)})
    inspector = Inspector(tiny.contract, rule, open_engine("onnxruntime", tiny.folder))
    labels = [
        inspector.inspect(DARK, FrameContext(camera, product)).verdict.label
        for camera, product in (("left", "lid"), ("right", "lid"), ("left", "base"))
    ]
    assert labels == [Label.REJECT, Label.PASS, Label.REVIEW]


@pytest.mark.parametrize("data", [b"", b"no image", BRIGHT[:50]])
def test_what_is_no_frame_is_refused(inspector: Inspector, data: bytes) -> None:
    with pytest.raises(UnreadableFrame):
        inspector.inspect(data, NOWHERE)


def test_wrong_raw_pixels_are_refused(inspector: Inspector) -> None:
    with pytest.raises(UnreadableFrame, match="3 channels"):
        inspector.inspect_pixels(np.zeros((8, 8, 1), np.uint8), NOWHERE)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_many_get_the_answers_of_each_in_order(
    inspector: Inspector, batch_size: int, workers: int
) -> None:
    frames = items(23)
    found = list(inspector.inspect_many(frames, batch_size, workers))
    assert [name for name, _ in found] == [name for name, _, _ in frames]
    for item, (_, answer) in zip(frames, found, strict=True):
        assert same(answer, alone(inspector, item))


def test_no_frames_give_no_answers(inspector: Inspector) -> None:
    assert list(inspector.inspect_many([])) == []


def test_a_batch_of_broken_frames_only_is_answered(inspector: Inspector) -> None:
    found = list(inspector.inspect_many([("a", b"", NOWHERE), ("b", b"x", NOWHERE)], 2))
    assert [(n, e.reason) for n, e in found if isinstance(e, UnreadableFrame)] == [
        ("a", "empty"),
        ("b", "not_an_image"),
    ]


def test_an_answer_does_not_keep_a_broken_frame_alive(inspector: Inspector) -> None:
    ((_, answer),) = inspector.inspect_many([("a", BRIGHT[:50], NOWHERE)])
    assert isinstance(answer, UnreadableFrame)
    assert answer.__traceback__ is None
    assert answer.__cause__ is None
    assert answer.__context__ is None


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (4, 2), (3, 5)])
def test_frames_are_read_only_as_answers_are_taken(
    inspector: Inspector, batch_size: int, workers: int
) -> None:
    """Memory is bounded by the frames that are read and not answered yet."""
    read = 0

    def endless() -> Iterator[Item]:
        nonlocal read
        while True:
            read += 1
            yield str(read), DARK, NOWHERE

    answers = inspector.inspect_many(endless(), batch_size, workers)
    for taken in range(1, 40):
        next(answers)
        assert read - taken <= batch_size * (4 * workers + 1)
    answers.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("inspect")]


def test_nothing_is_read_before_the_first_answer_is_asked_for(inspector: Inspector) -> None:
    def never() -> Iterator[Item]:
        raise AssertionError("read too early")
        yield

    inspector.inspect_many(never())


def test_an_engine_that_fails_ends_the_stream_and_its_threads(tiny: Bundle) -> None:
    spec = tiny.contract.input.model_copy(update={"height": 16})
    wrong = tiny.contract.model_copy(update={"input": spec})
    inspector = Inspector(wrong, tiny.rule, open_engine("onnxruntime", tiny.folder))
    with pytest.raises(Unavailable, match="onnxruntime failed on graph"):
        list(inspector.inspect_many(items(20), 2, 2))
    assert not [t for t in threading.enumerate() if t.name.startswith("inspect")]


def test_a_source_that_fails_is_heard_of(inspector: Inspector) -> None:
    def broken() -> Iterator[Item]:
        yield "a", DARK, NOWHERE
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(inspector.inspect_many(broken()))


@pytest.mark.parametrize(("batch_size", "workers"), [(0, 1), (1, 0), (-1, 2)])
def test_wrong_sizes_are_refused_at_once(
    inspector: Inspector, batch_size: int, workers: int
) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        inspector.inspect_many([], batch_size, workers)


def test_threads_may_share_an_inspector(inspector: Inspector) -> None:
    expected = {data: inspector.inspect(data, NOWHERE) for data in (DARK, DOUBTFUL, BRIGHT)}
    wrong: list[bytes] = []

    def call() -> None:
        for data in (DARK, DOUBTFUL, BRIGHT) * 10:
            if not same(inspector.inspect(data, NOWHERE), expected[data]):
                wrong.append(data)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
