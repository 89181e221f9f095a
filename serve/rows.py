"""The rows of the spool: a decision, or an error, with its context. Never pixels.

Made on the way of every answer, so nothing is copied that need not be; a number that JSON does not
have (NaN, an infinity) is null in the spool.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from inspection.decision import Label, Reason
from inspection.inspector import Inspection
from serve.frame import MAX_NAME_CHARACTERS, IncomingFrame, RawFrame
from serve.release import LiveRelease
from serve.statuses import Problem

Row = dict[str, object]


@dataclass(frozen=True)
class Identity:
    """Who decides: the line, the host, and the start of the server (`boot`)."""

    line: str
    host: str
    boot: str


def decision_row(
    frame: IncomingFrame,
    release: LiveRelease,
    inspection: Inspection,
    wait_ms: float,
    total_ms: float,
) -> Row:
    """What is recorded of a verdict, besides `context_row`."""
    verdict, engine = inspection.verdict, release.inspector.engine
    thresholds = release.inspector.rule.thresholds(frame.product, frame.camera)
    classes = release.bundle.contract.classes
    class_scores = inspection.outputs.class_scores[0].tolist()
    return {
        "verdict": verdict.label.value,
        "score": verdict.score,
        "reasons": [_reason(reason) for reason in verdict.reasons],
        "class_scores": dict(zip(classes, class_scores, strict=False)),
        "thresholds": vars(thresholds),
        "release": release.name,
        "bundle": release.bundle.name,
        "graph": engine.graph,
        "graph_hash": release.graph_hash,
        "engine": engine.name,
        "engine_build": engine.build,
        "wait_ms": round(wait_ms, 3),
        "decode_ms": round(inspection.decode_ms, 3),
        "engine_ms": round(inspection.engine_ms, 3),
        "total_ms": round(total_ms, 3),
        "stats_version": release.bundle.contract.stats_version,
        "statistics": inspection.statistics,
    }


def unjudged_row(label: Label, why: str, release: str, wait_ms: float) -> Row:
    """What is recorded of a frame that nobody looked at in time, besides `context_row`."""
    return {
        "verdict": label.value,
        "score": None,
        "reasons": [{"code": why, "name": "", "value": round(wait_ms, 3), "limit": 0.0}],
        "release": release,
        "wait_ms": round(wait_ms, 3),
        "total_ms": round(wait_ms, 3),
    }


def error_row(problem: Problem, release: str, total_ms: float) -> Row:
    """What is recorded of a frame that could not be judged, besides `context_row`."""
    return {
        "error": problem.code,
        "status": problem.status.name,
        "message": problem.message,
        "error_id": problem.error_id,
        "release": release,
        "total_ms": round(total_ms, 3),
    }


def context_row(frame: IncomingFrame, identity: Identity, received_at: datetime) -> Row:
    """What every row holds: who, which frame, when."""
    try:
        captured = frame.captured_at
    except OverflowError:
        captured = None
    return {
        "host": identity.host,
        "boot": identity.boot,
        "line": identity.line,
        "received_at": received_at.astimezone(UTC).isoformat(),
        "frame_id": frame.frame_id[:MAX_NAME_CHARACTERS],
        "camera": frame.camera[:MAX_NAME_CHARACTERS],
        "product": frame.product[:MAX_NAME_CHARACTERS],
        "serial": frame.serial[:MAX_NAME_CHARACTERS],
        "captured_at": captured.isoformat() if captured else None,
        # Raw pixels are in no file that could be found by its hash, and hashing them takes longer
        # than all else that is done for the row (0.5 ms for 640 x 480 in colour).
        "content_hash": "" if isinstance(frame.payload, RawFrame) else frame.content_hash,
    }


def _reason(reason: Reason) -> Row:
    return {name: value for name, value in vars(reason).items() if value is not None}
