"""`inspection.v1` over gRPC: converts messages and delegates to a line's `serve.handler`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NoReturn

import grpc

from serve.access import Access, caller
from serve.handler import Failure, Outcome
from serve.messages import NOBODY, incoming, refusal, to_answer, trailing
from serve.protocol import inspection_v1_pb2 as pb
from serve.protocol.inspection_v1_pb2_grpc import InspectionServicer
from serve.rows import Identity
from serve.station import Station, Stations
from serve.statuses import problem
from serve.streams import OpenStreams
from store.errors import VisionError

Info = Callable[[Station], pb.ServerInfo]


class Servicer(InspectionServicer):
    """Answers RPCs with what the handlers of the lines say."""

    def __init__(
        self, stations: Stations, info: Info, access: Access, *, is_traced: bool = False
    ) -> None:
        self.streams = OpenStreams()
        self._stations = stations
        self._info = info
        self._access = access
        self._is_traced = is_traced

    def Inspect(self, request: pb.Frame, context: grpc.ServicerContext) -> pb.Answer:
        """The answer for one frame; a frame that cannot be judged ends with a status."""
        outcome, identity = self._answer(request, context)
        if isinstance(outcome, Failure):
            abort(context, outcome, identity)
        return to_answer(outcome, identity)

    def InspectStream(
        self,
        request_iterator: Iterator[pb.Frame],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.Answer]:
        """One answer for each frame, in order; a frame that cannot be judged gets an error."""
        for request in self.streams.requests(request_iterator, context):
            yield to_answer(*self._answer(request, context))

    def GetServerInfo(
        self, request: pb.ServerInfoRequest, context: grpc.ServicerContext
    ) -> pb.ServerInfo:
        """What this server runs at the moment."""
        try:
            station = self._stations.of(request.line)
        except VisionError as error:
            found = problem(error)
            context.abort(found.status, found.message)
        if refused := self._access.covers(caller(), str(station.line)):
            context.abort(refused.status, refused.message)
        return self._info(station)

    def _answer(self, request: pb.Frame, context: grpc.ServicerContext) -> tuple[Outcome, Identity]:
        try:
            handler = self._stations.of(request.line).handler
        except VisionError as error:
            return refusal(request.frame_id, problem(error)), NOBODY
        frame = incoming(request, traceparent(context) if self._is_traced else "")
        refused = self._access.limit(caller(), handler.identity.line, frame.size_bytes)
        if refused:
            return refusal(request.frame_id, refused), handler.identity
        left_s = context.time_remaining()
        outcome = handler.answer(frame, math.inf if left_s is None else left_s)
        return outcome, handler.identity


def traceparent(context: grpc.ServicerContext) -> str:
    """The W3C trace that a call belongs to; empty without one."""
    for key, value in context.invocation_metadata():
        if key == "traceparent" and isinstance(value, str):
            return value
    return ""


def abort(context: grpc.ServicerContext, failure: Failure, identity: Identity) -> NoReturn:
    """End the call; code, frame and row go along as trailing metadata."""
    context.set_trailing_metadata(trailing(failure, identity))
    context.abort(failure.problem.status, failure.problem.message)
