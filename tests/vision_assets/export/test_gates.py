from __future__ import annotations

import polars as pl
import pytest

from inspection.bundle import GRAPH, GRAPH_U8S8
from inspection.decision import Label, Thresholds
from inspection.evidence import EngineEvidence, Gate
from vision_assets.config import LimitSettings
from vision_assets.evaluation.figures import (
    Band,
    Calibration,
    Confusion,
    Evaluation,
    Rate,
)
from vision_assets.export import gates
from vision_assets.export.parity import Answer, compare, summarise

LIMITS = LimitSettings()


def rate(count: int, of: int) -> Rate:
    share = count / of if of else None
    return Rate(count=count, of=of, rate=share, low=0.0, high=1.0, effective=float(of))


def evaluation(escapes: Rate, overkill: Rate, review: Rate) -> Evaluation:
    """An evaluation with these rates; what gates do not look at is empty."""
    return Evaluation(
        model="m",
        snapshot="s",
        config="c",
        classes=("pit",),
        confidence=0.95,
        resampled="part",
        counts={},
        unreadable={},
        thresholds=Thresholds(temperature=1, pass_below=0.2, reject_from=0.8),
        auroc=None,
        average_precision=None,
        f2=None,
        escapes=escapes,
        overkill=overkill,
        review=review,
        cost=0.1,
        band_closed=Band(cut=0.5, escapes=escapes, overkill=overkill, cost=0.1),
        per_class=(),
        confusion=Confusion(rows=(), columns=(), counts=()),
        calibration=Calibration(formula="", temperature=1, bias=0, ece=0, brier=0, bins=()),
        certificate={},
        seeds={},
        warnings=(),
    )


def measured(
    engine: str, graph: str, verdicts: list[Label], latency_ms: float = 2.0
) -> tuple[EngineEvidence, pl.DataFrame]:
    """Evidence for defective frames that torch rejects, from an engine's verdicts."""
    torch = pl.DataFrame(
        [
            {
                "frame_id": f"f{index}",
                "label": "defect",
                "score": 2.0,
                "class_scores": [0.9],
                "verdict": "REJECT",
            }
            for index in range(len(verdicts))
        ]
    )
    answers = [
        Answer(f"f{index}", 1, 2.0, (0.9,), verdict, latency_ms)
        for index, verdict in enumerate(verdicts)
    ]
    rows = compare(torch, answers, is_float=graph == GRAPH)
    return summarise(engine, graph, engine, rows), rows


def decide(*found: tuple[EngineEvidence, pl.DataFrame]) -> dict[str, Gate]:
    evidence = [row for row, _ in found]
    tables = {(row.engine, row.graph): table for row, table in found}
    figures = evaluation(rate(0, 100), rate(0, 100), rate(0, 200))
    return {gate.name: gate for gate in gates.decide(evidence, tables, figures, LIMITS)}


GOOD = [Label.REJECT] * 3
ONE_ESCAPE = [Label.REJECT, Label.PASS, Label.REJECT]


def test_one_engine_with_torchs_verdicts_is_enough_and_the_other_is_named() -> None:
    gate = decide(measured("onnxruntime", GRAPH, GOOD), measured("openvino", GRAPH, ONE_ESCAPE))[
        "parity"
    ]
    assert gate.passed
    assert gate.value == 0
    assert "onnxruntime give torch's verdict on all 3 test frames" in gate.message
    assert "openvino on graph.onnx: 1 of 3 frames flip, 1 added escapes" in gate.message
    assert gate.details == {
        "onnxruntime on graph.onnx": [],
        "openvino on graph.onnx": ["f1 (defect): REJECT -> PASS, score 2.000 -> 2.000"],
    }


def test_no_engine_with_torchs_verdicts_fails() -> None:
    gate = decide(measured("onnxruntime", GRAPH, ONE_ESCAPE))["parity"]
    assert not gate.passed
    assert gate.value == 1
    assert "f1 (defect): REJECT -> PASS" in gate.message
    assert "evaluate and export the model again" in gate.message


def test_no_engine_at_all_fails() -> None:
    found = decide()
    assert not found["parity"].passed
    assert "install onnxruntime or openvino" in found["parity"].message
    assert not found["latency"].passed


def test_an_int8_graph_alone_proves_nothing() -> None:
    assert not decide(measured("onnxruntime", GRAPH_U8S8, GOOD))["parity"].passed


def test_an_int8_graph_that_flips_is_barred_and_does_not_stop_the_bundle() -> None:
    found = decide(
        measured("onnxruntime", GRAPH, GOOD), measured("onnxruntime", GRAPH_U8S8, ONE_ESCAPE)
    )
    assert found["int8"].passed
    assert found["int8"].value == 0
    assert "is left out: 1 of 3 frames flip" in found["int8"].message
    assert all(gate.passed for gate in found.values())


def test_an_int8_graph_that_flips_and_may_answer_fails() -> None:
    row, table = measured("onnxruntime", GRAPH_U8S8, ONE_ESCAPE)
    forged = row.model_copy(update={"passed": True}), table
    assert not decide(measured("onnxruntime", GRAPH, GOOD), forged)["int8"].passed


@pytest.mark.parametrize(("latency_ms", "passed"), [(199.0, True), (200.0, True), (201.0, False)])
def test_latency_is_that_of_the_fastest_engine_that_may_answer(
    latency_ms: float, passed: bool
) -> None:
    gate = decide(
        measured("onnxruntime", GRAPH, GOOD, latency_ms),
        measured("openvino", GRAPH, ONE_ESCAPE, 1.0),
        measured("onnxruntime", GRAPH_U8S8, GOOD, 500.0),
    )["latency"]
    assert gate.passed == passed
    assert (gate.value, gate.limit) == (latency_ms, 200.0)
    assert ("limits.max_latency_ms" in gate.message) != passed


def test_the_measured_rate_decides_and_the_proof_stands_beside_it() -> None:
    figures = evaluation(rate(1, 20), rate(0, 100), rate(4, 120))
    found = {gate.name: gate for gate in gates.rates(figures, LIMITS)}
    assert all(gate.passed for gate in found.values())
    escape, overkill = found["escape_rate"], found["overkill_rate"]
    assert (escape.value, escape.limit) == (0.05, 0.1)
    assert escape.details["certified"] is False
    assert escape.details["upper_bound"] == pytest.approx(0.2161, abs=1e-4)
    # 1 of n keeps the bound under 10 % from n = 46 on: 26 more than the 20 there are.
    assert escape.details["missing_parts"] == 26
    assert "not proven: 26 further defective test parts" in escape.message
    assert overkill.details["certified"] is True
    assert overkill.details["missing_parts"] == 0
    assert "at most 3.0%" in overkill.message


def test_a_rate_over_its_limit_fails() -> None:
    figures = evaluation(rate(3, 20), rate(11, 100), rate(40, 120))
    assert not any(gate.passed for gate in gates.rates(figures, LIMITS))


def test_without_defective_parts_the_escape_rate_is_not_known() -> None:
    figures = evaluation(rate(0, 0), rate(0, 100), rate(0, 100))
    escape = gates.rates(figures, LIMITS)[0]
    assert not escape.passed
    assert escape.value is None
    assert escape.details["certified"] is False
