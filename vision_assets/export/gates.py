"""The gates of a bundle: what must hold before it is promoted, each with the rows behind it.

Of the engines only one has to give torch's verdicts with the float graph; every other is measured
too, and those that flip a verdict may not answer on the line. Rates are compared as measured;
whether they are proven stands beside them, because a pilot line has too few defective parts to
prove anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from inspection.bundle import GRAPH
from inspection.evidence import EngineEvidence, Gate
from vision_assets.config import LimitSettings
from vision_assets.evaluation.certificate import against_limits, certify
from vision_assets.evaluation.figures import Evaluation, Rate

_MOST_LISTED = 50
_MOST_IN_MESSAGE = 5

Tables = Mapping[tuple[str, str], pl.DataFrame]
"""Rows of `parity.compare` by engine and graph."""


def decide(
    evidence: Sequence[EngineEvidence],
    tables: Tables,
    figures: Evaluation,
    limits: LimitSettings,
) -> list[Gate]:
    """All gates of a bundle.

    Args:
        evidence: Per engine and graph.
        tables: The rows behind it.
        figures: Of the evaluation.
        limits: Of the line, as they are now.
    """
    return [
        parity(evidence, tables),
        int8(evidence, tables),
        latency(evidence, limits),
        *rates(figures, limits),
    ]


def parity(evidence: Sequence[EngineEvidence], tables: Tables) -> Gate:
    """Gate ``parity``: at least one engine gives torch's verdicts with the float graph."""
    floats = [row for row in evidence if row.graph == GRAPH]
    passed = [row for row in floats if row.passed]
    found = passed or floats
    return Gate(
        name="parity",
        passed=bool(passed),
        value=min((row.flips for row in found), default=None),
        limit=0,
        message=_parity_message(floats, passed, tables),
        details=_listed(floats, tables),
    )


def int8(evidence: Sequence[EngineEvidence], tables: Tables) -> Gate:
    """Gate ``int8``: no INT8 graph may answer that flips a verdict or adds an escape.

    It is met by barring the graph, so a bundle without a usable INT8 graph can be promoted.
    """
    rows = [row for row in evidence if row.graph != GRAPH]
    wrong = [row for row in rows if row.passed and (row.flips or row.added_escapes)]
    said = [
        f"{_name(row)} may answer" if row.passed else f"{_name(row)} is left out: {_found(row)}"
        for row in rows
    ]
    return Gate(
        name="int8",
        passed=not wrong,
        value=sum(row.passed for row in rows),
        message="; ".join(said) or "the bundle has no INT8 graph",
        details=_listed(rows, tables),
    )


def latency(evidence: Sequence[EngineEvidence], limits: LimitSettings) -> Gate:
    """Gate ``latency``: the fastest engine that may answer, p99 of one frame from bytes to verdict.

    Measured on the machine that exported; the line's own machine measures again when it chooses.
    """
    usable = sorted((row for row in evidence if row.passed), key=lambda row: row.latency_p99_ms)
    if not usable:
        message = "no engine may answer, so there is no latency: see the gate `parity`"
        return Gate(name="latency", passed=False, limit=limits.max_latency_ms, message=message)
    best = usable[0]
    passed = best.latency_p99_ms <= limits.max_latency_ms
    advice = "" if passed else ": take a smaller input or backbone, or raise limits.max_latency_ms"
    return Gate(
        name="latency",
        passed=passed,
        value=best.latency_p99_ms,
        limit=limits.max_latency_ms,
        message=f"{_name(best)}: p50 {best.latency_p50_ms:.1f} ms, p99 {best.latency_p99_ms:.1f} "
        f"ms; the limit is {limits.max_latency_ms:.1f} ms{advice}",
        details={_name(row): [row.latency_p50_ms, row.latency_p99_ms] for row in usable},
    )


def rates(figures: Evaluation, limits: LimitSettings) -> list[Gate]:
    """Gates ``escape_rate``, ``overkill_rate`` and ``review_share`` against the line's limits.

    The measured rate decides. ``certified`` in the details says whether its upper bound keeps the
    limit too; where it does not, the message says how many further parts would prove it.
    """
    proofs = {
        "escape_rate": (figures.escapes, limits.max_escape_rate, "defective"),
        "overkill_rate": (figures.overkill, limits.max_overkill_rate, "good"),
    }
    return [
        _certified(gate, *proofs[gate.name], figures.confidence) if gate.name in proofs else gate
        for gate in against_limits(figures, limits)
    ]


def _certified(gate: Gate, rate: Rate, limit: float, kind: str, confidence: float) -> Gate:
    bound = certify(rate, limit, confidence)
    said = f"with {confidence:.0%} confidence at most {bound.upper:.1%}"
    if not bound.proven:
        said += f", not proven: {bound.further} further {kind} test parts without a failure would"
    details = {
        **gate.details,
        "certified": bound.proven,
        "upper_bound": bound.upper,
        "missing_parts": bound.further,
    }
    return gate.model_copy(update={"message": f"{gate.message}; {said}", "details": details})


def _parity_message(
    rows: Sequence[EngineEvidence], passed: Sequence[EngineEvidence], tables: Tables
) -> str:
    barred = [
        f"{_name(row)}: {_found(row)}{_first_wrong(tables[row.engine, row.graph])}"
        for row in rows
        if not row.passed
    ]
    if not rows:
        return "no engine ran the float graph: install onnxruntime or openvino and export again"
    if not passed:
        return (
            "; ".join(barred) + "; the graph is not the model that was evaluated, whose scores "
            "float32 gives to within 0.01: evaluate and export the model again"
        )
    names = " and ".join(row.engine for row in passed)
    said = f"{names} give torch's verdict on all {passed[0].frames} test frames"
    return "; ".join([said, *(f"{text}, so it may not answer" for text in barred)])


def _found(row: EngineEvidence) -> str:
    return (
        f"{row.flips} of {row.frames} frames flip, {row.added_escapes} added escapes, "
        f"scores differ by up to {row.max_score_difference:.4g}"
    )


def _first_wrong(table: pl.DataFrame) -> str:
    wrong = _wrong(table)
    more = "; …" if len(wrong) > _MOST_IN_MESSAGE else ""
    return f" ({'; '.join(wrong[:_MOST_IN_MESSAGE])}{more})" if wrong else ""


def _listed(rows: Sequence[EngineEvidence], tables: Tables) -> dict[str, list[str]]:
    return {_name(row): _wrong(tables[row.engine, row.graph])[:_MOST_LISTED] for row in rows}


def _wrong(table: pl.DataFrame) -> list[str]:
    """Flips, then added escapes, then scores that drifted, as text, one a frame."""
    kinds = ["is_flip", "is_added_escape", "is_adrift"]
    rows = (
        table.filter(pl.any_horizontal(kinds))
        .sort(kinds, descending=True, maintain_order=True)
        .unique("frame_id", keep="first", maintain_order=True)
    )
    return [
        f"{row['frame_id']} ({row['label']}): {row['verdict_torch']} -> {row['verdict']}, "
        f"score {row['score_torch']:.3f} -> {row['score']:.3f}"
        for row in rows.iter_rows(named=True)
    ]


def _name(row: EngineEvidence) -> str:
    return f"{row.engine} on {row.graph}"
