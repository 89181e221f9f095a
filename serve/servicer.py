"""`inspection.v1` over gRPC: converts messages and delegates to `serve.handler`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn

import grpc
import uuid_utils

from serve.frame import IncomingFrame, RawFrame
from serve.handler import Decision, Failure, Handler
from serve.protocol import inspection_v1_pb2 as pb
from serve.protocol.inspection_v1_pb2_grpc import InspectionServicer
from serve.rows import Identity
from serve.statuses import status_number
from serve.streams import OpenStreams

_VERDICTS = {"PASS": pb.PASS, "REJECT": pb.REJECT, "REVIEW": pb.REVIEW}


class Servicer(InspectionServicer):
    """Answers RPCs with what a `Handler` says."""

    def __init__(self, handler: Handler, info: Callable[[], pb.ServerInfo]) -> None:
        self.streams = OpenStreams()
        self.handler = handler
        self._info = info

    def Inspect(self, request: pb.Frame, context: grpc.ServicerContext) -> pb.Answer:
        """The answer for one frame; a frame that cannot be judged ends with a status."""
        outcome = self.handler.answer(incoming(request))
        if isinstance(outcome, Failure):
            self._abort(context, outcome)
        return to_answer(outcome, self.handler.identity)

    def InspectStream(
        self,
        request_iterator: Iterator[pb.Frame],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.Answer]:
        """One answer for each frame, in order; a frame that cannot be judged gets an error."""
        for request in self.streams.requests(request_iterator, context):
            outcome = self.handler.answer(incoming(request))
            yield to_answer(outcome, self.handler.identity)

    def GetServerInfo(
        self, request: pb.ServerInfoRequest, context: grpc.ServicerContext
    ) -> pb.ServerInfo:
        """What this server runs at the moment."""
        return self._info()

    def _abort(self, context: grpc.ServicerContext, failure: Failure) -> NoReturn:
        """End the call; code, frame and row go along as trailing metadata."""
        identity = self.handler.identity
        decision = f"{identity.host}/{identity.boot}/{failure.sequence}"
        context.set_trailing_metadata(
            (
                ("error-code", failure.problem.code),
                ("frame-id-bin", failure.frame_id.encode()),
                ("decision-id", decision),
            )
        )
        context.abort(failure.problem.status, failure.problem.message)


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


def to_answer(outcome: Decision | Failure, identity: Identity) -> pb.Answer:
    """The message for an outcome."""
    decision = pb.DecisionId(host=identity.host, boot=identity.boot, sequence=outcome.sequence)
    if isinstance(outcome, Failure):
        found = outcome.problem
        return pb.Answer(
            frame_id=outcome.frame_id,
            decision=decision,
            error=pb.Error(
                status=status_number(found.status), code=found.code, message=found.message
            ),
            timings=pb.Timings(total_ms=outcome.total_ms),
        )
    return pb.Answer(
        frame_id=outcome.frame_id,
        decision=decision,
        result=_result(outcome),
        timings=pb.Timings(
            decode_ms=outcome.inspection.decode_ms,
            engine_ms=outcome.inspection.engine_ms,
            total_ms=outcome.total_ms,
        ),
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
