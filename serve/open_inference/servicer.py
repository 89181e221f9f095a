"""The Open Inference Protocol over gRPC: a line is a model, a release a version of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.metadata import version

import grpc
from google.protobuf.message import DecodeError

from serve.access import Access, caller
from serve.handler import Failure, Outcome
from serve.messages import NOBODY, refusal
from serve.open_inference.answers import metadata, to_response, wanted
from serve.open_inference.frames import incoming
from serve.protocol import open_inference_pb2 as pb
from serve.protocol.open_inference_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from serve.rows import Identity
from serve.servicer import abort, traceparent
from serve.station import Station, Stations
from serve.statuses import UnknownLine, problem
from serve.streams import OpenStreams
from store.errors import InvalidInput, VisionError

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
NAME = "vision-serve"


class OpenInferenceServicer(GRPCInferenceServiceServicer):
    """Answers RPCs with what the handlers of the lines say."""

    def __init__(self, stations: Stations, access: Access, *, is_traced: bool = False) -> None:
        self.streams = OpenStreams()
        self._stations = stations
        self._access = access
        self._is_traced = is_traced

    def add_to(self, server: grpc.Server) -> None:
        """Let a server answer with it; the methods that take frames get messages as bytes.

        So what is no message at all is told so, like anything else that is wrong with a request.
        """
        add_GRPCInferenceServiceServicer_to_server(self, server)
        server.add_registered_method_handlers(
            SERVICE,
            {
                "ModelInfer": grpc.unary_unary_rpc_method_handler(
                    self._infer, response_serializer=pb.ModelInferResponse.SerializeToString
                ),
                "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(
                    self._infer_stream,
                    response_serializer=pb.ModelStreamInferResponse.SerializeToString,
                ),
            },
        )

    def ServerLive(
        self, request: pb.ServerLiveRequest, context: grpc.ServicerContext
    ) -> pb.ServerLiveResponse:
        """That the process answers."""
        return pb.ServerLiveResponse(live=True)

    def ServerReady(
        self, request: pb.ServerReadyRequest, context: grpc.ServicerContext
    ) -> pb.ServerReadyResponse:
        """Whether every line would answer a frame."""
        return pb.ServerReadyResponse(ready=all(map(_is_ready, self._stations.values())))

    def ModelReady(
        self, request: pb.ModelReadyRequest, context: grpc.ServicerContext
    ) -> pb.ModelReadyResponse:
        """Whether a line would answer a frame, with the release asked for."""
        try:
            station = self._station(request.name, request.version)
        except VisionError:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=_is_ready(station))

    def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: grpc.ServicerContext
    ) -> pb.ServerMetadataResponse:
        """Name and version of the server."""
        return pb.ServerMetadataResponse(name=NAME, version=version("vision-assets"))

    def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: grpc.ServicerContext
    ) -> pb.ModelMetadataResponse:
        """Inputs and outputs of a line."""
        try:
            station = self._station(request.name, request.version)
        except VisionError as error:
            found = problem(error)
            context.abort(found.status, found.message)
        if refused := self._access.covers(caller(), str(station.line)):
            context.abort(refused.status, refused.message)
        return _metadata(station)

    def _infer(self, message: bytes, context: grpc.ServicerContext) -> pb.ModelInferResponse:
        """The verdict for one frame; a frame that cannot be judged ends with a status."""
        request, outcome, identity = self._read(message, context)
        if isinstance(outcome, Failure):
            abort(context, outcome, identity)
        return to_response(request, outcome, identity)

    def _infer_stream(
        self, messages: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[pb.ModelStreamInferResponse]:
        """One response for each request, in order; one that fails has an error, the stream goes on.

        An error comes with the id of its request, so that the client knows which it is.
        """
        for message in self.streams.requests(messages, context):
            request, outcome, identity = self._read(message, context)
            if isinstance(outcome, Failure):
                found = outcome.problem
                yield pb.ModelStreamInferResponse(
                    error_message=f"{found.code}: {found.message}",
                    infer_response=pb.ModelInferResponse(
                        model_name=request.model_name, id=request.id
                    ),
                )
            else:
                response = to_response(request, outcome, identity)
                yield pb.ModelStreamInferResponse(infer_response=response)

    def _read(
        self, message: bytes, context: grpc.ServicerContext
    ) -> tuple[pb.ModelInferRequest, Outcome, Identity]:
        try:
            request = pb.ModelInferRequest.FromString(message)
        except DecodeError:
            wrong = InvalidInput("the message is no ModelInferRequest: send one")
            return pb.ModelInferRequest(), refusal("", problem(wrong)), NOBODY
        return request, *self._answer(request, context)

    def _answer(
        self, request: pb.ModelInferRequest, context: grpc.ServicerContext
    ) -> tuple[Outcome, Identity]:
        identity = NOBODY
        try:
            station = self._station(request.model_name, request.model_version)
            handler, identity = station.handler, station.identity
            wanted(request)
            frame = incoming(request, traceparent(context) if self._is_traced else "")
        except VisionError as error:
            return refusal(request.id, problem(error)), identity
        if refused := self._access.limit(caller(), identity.line, frame.size_bytes):
            return refusal(frame.frame_id, refused), identity
        left_s = context.time_remaining()
        return handler.answer(frame, math.inf if left_s is None else left_s), identity

    def _station(self, name: str, number: str) -> Station:
        """The line of that name, whose live release has that number if one is named.

        Raises:
            VisionError: when there is none.
        """
        station = self._stations.of(name, caller().covers)
        live = station.stand_in.live()
        found = str(live.number) if live else "none"
        if number and number != found:
            raise UnknownRelease(
                f"release {number[:20]} of line {station.line} does not answer here, {found} does: "
                "ask for that, or leave the version empty"
            )
        return station


class UnknownRelease(UnknownLine):
    """A request names a release that does not answer here."""


def _is_ready(station: Station) -> bool:
    return station.stand_in.live() is not None and not station.spool.state().fault


def _metadata(station: Station) -> pb.ModelMetadataResponse:
    live = station.stand_in.live()
    versions = [str(live.number)] if live else []
    channels = live.bundle.contract.input.channels if live else -1
    return metadata(str(station.line), versions, channels)
