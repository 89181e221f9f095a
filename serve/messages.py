"""`inspection.v1` messages to and from what the server works with."""

from __future__ import annotations

import math

import uuid_utils

from serve.frame import MAX_NAME_CHARACTERS, IncomingFrame, RawFrame
from serve.handler import Decision, Failure, Outcome, Unjudged
from serve.protocol import inspection_v1_pb2 as pb
from serve.rows import Identity
from serve.statuses import Problem, status_number

_VERDICTS = {"PASS": pb.PASS, "REJECT": pb.REJECT, "REVIEW": pb.REVIEW}


NOBODY = Identity("", "", "")
"""Who answers for a frame that belongs to no line here."""


def refusal(frame_id: str, found: Problem) -> Failure:
    """The outcome for a frame that is not taken, and so has no row."""
    return Failure(frame_id[:MAX_NAME_CHARACTERS], 0, found, 0.0)


def incoming(request: pb.Frame, traceparent: str = "") -> IncomingFrame:
    """A frame as the client sent it; nothing is checked.

    Args:
        request: The message.
        traceparent: Of the W3C trace that the call belongs to.
    """
    payload: bytes | RawFrame | None = None
    match request.WhichOneof("payload"):
        case "encoded":
            payload = request.encoded
        case "raw":
            raw = request.raw
            payload = RawFrame(raw.data, tuple(raw.shape), raw.dtype)
    captured = None
    if request.HasField("captured_at"):
        captured = (request.captured_at.seconds, request.captured_at.nanos)
    return IncomingFrame(
        payload=payload,
        frame_id=request.frame_id or str(uuid_utils.uuid7()),
        camera=request.camera,
        product=request.product,
        serial=request.serial,
        captured=captured,
        traceparent=traceparent,
    )


def to_answer(outcome: Outcome, identity: Identity) -> pb.Answer:
    """The message for an outcome."""
    decision = pb.DecisionId(host=identity.host, boot=identity.boot, sequence=outcome.sequence)
    if isinstance(outcome, Decision):
        return pb.Answer(
            frame_id=outcome.frame_id,
            decision=decision,
            result=_result(outcome),
            timings=pb.Timings(
                wait_ms=outcome.wait_ms,
                decode_ms=outcome.inspection.decode_ms,
                engine_ms=outcome.inspection.engine_ms,
                total_ms=outcome.total_ms,
            ),
        )
    if isinstance(outcome, Unjudged):
        return pb.Answer(
            frame_id=outcome.frame_id,
            decision=decision,
            result=_unjudged(outcome),
            timings=pb.Timings(wait_ms=outcome.wait_ms, total_ms=outcome.total_ms),
        )
    return pb.Answer(
        frame_id=outcome.frame_id,
        decision=decision,
        error=_error(outcome),
        timings=pb.Timings(total_ms=outcome.total_ms),
    )


def trailing(failure: Failure, identity: Identity) -> tuple[tuple[str, str | bytes], ...]:
    """The metadata that ends a call without an answer: code, frame and row."""
    decision = f"{identity.host}/{identity.boot}/{failure.sequence}"
    retry_ms = math.ceil(failure.problem.retry_after_s * 1000)
    return (
        ("error-code", failure.problem.code),
        ("frame-id-bin", failure.frame_id.encode()),
        ("decision-id", decision),
        *((("grpc-retry-pushback-ms", str(retry_ms)),) if retry_ms else ()),
    )


def _result(decision: Decision) -> pb.Result:
    verdict, release = decision.inspection.verdict, decision.release
    scores = decision.inspection.outputs.class_scores[0].tolist()
    classes = release.bundle.contract.classes
    return pb.Result(
        verdict=_VERDICTS[verdict.label],
        score=verdict.score,
        reasons=[
            pb.Reason(code=r.code, name=r.name, value=r.value, limit=r.limit, x=r.x, y=r.y)
            for r in verdict.reasons
        ],
        class_scores=[
            pb.ClassScore(name=name, score=score)
            for name, score in zip(classes, scores, strict=False)
        ],
        release=release.name,
        bundle=release.bundle.name,
        engine=release.engine,
    )


def _unjudged(outcome: Unjudged) -> pb.Result:
    return pb.Result(
        verdict=_VERDICTS[outcome.label],
        reasons=[pb.Reason(code=outcome.why, value=outcome.wait_ms)],
        release=outcome.release,
    )


def _error(failure: Failure) -> pb.Error:
    found = failure.problem
    return pb.Error(status=status_number(found.status), code=found.code, message=found.message)
