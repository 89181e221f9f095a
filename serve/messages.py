"""`inspection.v1` messages to and from what the server works with."""

from __future__ import annotations

import uuid_utils

from serve.frame import IncomingFrame, RawFrame
from serve.handler import Decision, Failure, Outcome, Unjudged
from serve.protocol import inspection_v1_pb2 as pb
from serve.rows import Identity
from serve.statuses import status_number

_VERDICTS = {"PASS": pb.PASS, "REJECT": pb.REJECT, "REVIEW": pb.REVIEW}


def incoming(request: pb.Frame) -> IncomingFrame:
    """A frame as the client sent it; nothing is checked."""
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
    )


def to_answer(outcome: Outcome, identity: Identity) -> pb.Answer:
    """The message for an outcome."""
    answer = pb.Answer(
        frame_id=outcome.frame_id,
        decision=pb.DecisionId(host=identity.host, boot=identity.boot, sequence=outcome.sequence),
    )
    if isinstance(outcome, Decision):
        inspection = outcome.inspection
        answer.result.CopyFrom(_result(outcome))
        answer.timings.decode_ms = inspection.decode_ms
        answer.timings.engine_ms = inspection.engine_ms
        answer.timings.wait_ms = outcome.wait_ms
    elif isinstance(outcome, Unjudged):
        answer.result.CopyFrom(_unjudged(outcome))
        answer.timings.wait_ms = outcome.wait_ms
    else:
        answer.error.CopyFrom(_error(outcome))
    answer.timings.total_ms = outcome.total_ms
    return answer


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
