from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection.bundle import GRAPH, GRAPH_U8S8
from inspection.decision import Label
from store.errors import InvalidInput, NotFound, UnreadableFrame
from tests.vision_assets.export.conftest import MakeBundle
from vision_assets.export import gates
from vision_assets.export.parity import Answer, Reference, compare, measure, summarise

_ROW = {
    "frame_id": "f1",
    "label": "defect",
    "score": 1.0,
    "class_scores": [0.9, 0.1],
    "verdict": "REJECT",
}


def _torch(**changes: object) -> pl.DataFrame:
    return pl.DataFrame([{**_ROW, **changes}])


def _answer(verdict: Label = Label.REJECT, score: float = 1.0, size: int = 1) -> Answer:
    return Answer("f1", size, score, (0.9, 0.1), verdict, latency_ms=2.0)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_the_right_graph_gives_every_verdict(
    graphs: dict[str, bytes], reference: Reference, make_bundle: MakeBundle, engine: str
) -> None:
    bundle = make_bundle({GRAPH: graphs["right"]})
    told: list[tuple[str, int, int]] = []
    evidence, rows = measure(
        bundle, engine, GRAPH, reference, lambda what, done, total: told.append((what, done, total))
    )
    assert evidence.passed
    assert (evidence.engine, evidence.graph) == (engine, GRAPH)
    assert (evidence.frames, evidence.flips, evidence.added_escapes) == (120, 0, 0)
    assert 0 <= evidence.max_score_difference < 1e-3
    assert 0 < evidence.latency_p50_ms <= evidence.latency_p99_ms
    assert engine in evidence.build
    assert sorted(rows["size"].unique()) == [1, 8]
    assert len(rows) == 240
    assert [done for _, done, _ in told] == [*range(1, 121), *range(1, 121)]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("wrong", ["flatter", "swapped"])
def test_a_wrong_graph_is_found_and_its_flips_are_listed(
    graphs: dict[str, bytes],
    reference: Reference,
    make_bundle: MakeBundle,
    wrong: str,
    engine: str,
) -> None:
    bundle = make_bundle({GRAPH: graphs[wrong]})
    evidence, rows = measure(bundle, engine, GRAPH, reference)
    assert not evidence.passed
    assert evidence.flips > 0
    gate = gates.parity([evidence], {(engine, GRAPH): rows})
    assert not gate.passed
    assert gate.value == evidence.flips
    flipped = rows.filter("is_flip")["frame_id"].unique(maintain_order=True)
    listed = gate.details[f"{engine} on {GRAPH}"]
    assert isinstance(listed, list)
    assert all(any(str(line).startswith(name) for line in listed) for name in flipped[:50])
    assert str(listed[0]) in gate.message
    assert f"{evidence.flips} of 120 frames flip" in gate.message


def test_a_wrong_graph_is_found_even_where_no_frame_flips(
    graphs: dict[str, bytes], reference: Reference, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle({GRAPH: graphs["flatter"]})
    clear = reference.rows.filter((pl.col("p") < 0.01) | (pl.col("p") > 0.99))
    evidence, rows = measure(bundle, "onnxruntime", GRAPH, Reference(clear, reference.read))
    assert evidence.flips == 0
    assert not evidence.passed
    assert evidence.max_score_difference > 0.1
    gate = gates.parity([evidence], {("onnxruntime", GRAPH): rows})
    assert not gate.passed
    assert "0 of" in gate.message
    assert "float32 gives to within 0.01" in gate.message
    assert gate.details["onnxruntime on graph.onnx"]


def test_int8_is_measured_by_verdicts_only(
    graphs: dict[str, bytes],
    int8: dict[str, bytes],
    reference: Reference,
    make_bundle: MakeBundle,
) -> None:
    bundle = make_bundle({GRAPH: graphs["right"], **int8})
    evidence, rows = measure(bundle, "onnxruntime", GRAPH_U8S8, reference)
    assert evidence.max_score_difference > 0.01
    assert not rows["is_adrift"].any()
    assert evidence.passed == (evidence.flips == 0 and evidence.added_escapes == 0)


def test_without_a_test_frame_nothing_is_claimed(
    graphs: dict[str, bytes], reference: Reference, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle({GRAPH: graphs["right"]})
    with pytest.raises(InvalidInput, match="no test frame"):
        measure(bundle, "onnxruntime", GRAPH, Reference(reference.rows.head(0), reference.read))


def test_an_unknown_engine_is_refused(
    graphs: dict[str, bytes], reference: Reference, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle({GRAPH: graphs["right"]})
    with pytest.raises(NotFound, match="no engine 'abacus'"):
        measure(bundle, "abacus", GRAPH, reference)


def test_a_frame_that_only_torch_could_read_is_an_error(
    graphs: dict[str, bytes], reference: Reference, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle({GRAPH: graphs["right"]})
    broken = Reference(reference.rows.head(1), lambda ids: ((name, b"no image") for name in ids))
    with pytest.raises(UnreadableFrame):
        measure(bundle, "onnxruntime", GRAPH, broken)


@pytest.mark.parametrize(
    ("torch", "engine", "flips", "escapes"),
    [
        ("REJECT", Label.REJECT, 0, 0),
        ("REJECT", Label.REVIEW, 1, 0),
        ("REJECT", Label.PASS, 1, 1),
        ("REVIEW", Label.PASS, 0, 1),
        ("REVIEW", Label.REJECT, 0, 0),
        ("PASS", Label.PASS, 0, 0),
        ("PASS", Label.REVIEW, 1, 0),
        ("PASS", Label.REJECT, 1, 0),
    ],
)
def test_flips_and_added_escapes_of_a_defective_frame(
    torch: str, engine: Label, flips: int, escapes: int
) -> None:
    rows = compare(_torch(verdict=torch), [_answer(engine)], is_float=True)
    found = summarise("onnxruntime", GRAPH, "build", rows)
    assert (found.flips, found.added_escapes) == (flips, escapes)
    assert found.passed == (not flips and not escapes)


def test_a_good_frame_is_never_an_escape() -> None:
    rows = compare(_torch(label="good"), [_answer(Label.PASS)], is_float=True)
    assert rows["is_flip"].item()
    assert not rows["is_added_escape"].item()


def test_a_frame_that_flips_at_both_sizes_counts_once() -> None:
    rows = compare(_torch(), [_answer(Label.PASS), _answer(Label.PASS, size=8)], is_float=True)
    found = summarise("onnxruntime", GRAPH, "build", rows)
    assert (found.frames, found.flips, found.added_escapes) == (1, 1, 1)


@settings(deadline=None)
@given(st.floats(-20, 20), st.floats(-5, 5))
def test_a_float_graph_drifts_beyond_the_tolerance_only(score: float, shift: float) -> None:
    rows = compare(_torch(score=score), [_answer(score=score + shift)], is_float=True)
    assert rows["is_adrift"].item() == (abs((score + shift) - score) > 0.01 + 0.001 * abs(score))


def test_other_class_scores_are_drift_in_a_float_graph() -> None:
    swapped = Answer("f1", 1, 1.0, (0.1, 0.9), Label.REJECT, 2.0)
    assert compare(_torch(), [swapped], is_float=True)["is_adrift"].item()
    assert not compare(_torch(), [swapped], is_float=False)["is_adrift"].item()


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_never_passes(score: float) -> None:
    rows = compare(_torch(), [_answer(Label.REVIEW, score)], is_float=True)
    found = summarise("onnxruntime", GRAPH, "build", rows)
    assert not found.passed
    assert found.max_score_difference > 1e30
