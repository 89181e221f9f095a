"""`inspection.v1` over gRPC: converts messages and delegates to a line's `serve.handler`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NoReturn

import grpc

from serve.access import caller
from serve.desk import Desk
from serve.handler import Failure, Outcome
from serve.messages import NOBODY, to_answer, trailing
from serve.protocol import inspection_v1_pb2 as pb
from serve.rows import Identity
from serve.statuses import Problem, problem
from serve.streams import OpenStreams
from serve.tokens import Grant
from store.errors import VisionError

INSPECTION = pb.DESCRIPTOR.services_by_name["Inspection"].full_name

Info = Callable[[bytes, Grant], tuple[str, pb.ServerInfo]]
"""The line that a `ServerInfoRequest` asks for, and what runs there. May raise a VisionError."""


class Servicer:
    """Answers RPCs with what the handlers of the lines say.

    Its methods take messages as bytes: what is none is told so, with a code, like anything else
    that is wrong with a request; grpcio's own answer would be INTERNAL.
    """

    def __init__(self, desk: Desk, info: Info, *, is_traced: bool = False) -> None:
        self.streams = OpenStreams()
        self._desk = desk
        self._info = info
        self._is_traced = is_traced

    def add_to(self, server: grpc.Server) -> None:
        """Let a server answer with it."""
        answer = pb.Answer.SerializeToString
        server.add_registered_method_handlers(
            INSPECTION,
            {
                "Inspect": grpc.unary_unary_rpc_method_handler(
                    self.Inspect, response_serializer=answer
                ),
                "InspectStream": grpc.stream_stream_rpc_method_handler(
                    self.InspectStream, response_serializer=answer
                ),
                "GetServerInfo": grpc.unary_unary_rpc_method_handler(
                    self.GetServerInfo, response_serializer=pb.ServerInfo.SerializeToString
                ),
            },
        )

    def Inspect(self, message: bytes, context: grpc.ServicerContext) -> pb.Answer:
        """The answer for one frame; a frame that cannot be judged ends with a status."""
        outcome, identity = self._answer(message, context)
        if isinstance(outcome, Failure):
            abort(context, outcome, identity)
        return to_answer(outcome, identity)

    def InspectStream(
        self, messages: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[pb.Answer]:
        """One answer for each frame, in order; a frame that cannot be judged gets an error."""
        for message in self.streams.requests(messages, context):
            yield to_answer(*self._answer(message, context))

    def GetServerInfo(self, message: bytes, context: grpc.ServicerContext) -> pb.ServerInfo:
        """What this server runs at the moment."""
        try:
            line, info = self._info(message, caller())
        except VisionError as error:
            _refuse(context, problem(error))
        if refused := self._desk.access.covers(caller(), line):
            _refuse(context, refused)
        return info

    def _answer(self, message: bytes, context: grpc.ServicerContext) -> tuple[Outcome, Identity]:
        trace = traceparent(context) if self._is_traced else ""
        handler, taken = self._desk.accept(message, caller(), trace)
        if handler is None or isinstance(taken, Failure):
            assert isinstance(taken, Failure)
            return taken, NOBODY
        left_s = context.time_remaining()
        outcome = handler.answer(taken.frame, math.inf if left_s is None else left_s)
        return outcome, handler.identity


def _refuse(context: grpc.ServicerContext, found: Problem) -> NoReturn:
    context.set_trailing_metadata((("error-code", found.code),))
    context.abort(found.status, found.message)


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
