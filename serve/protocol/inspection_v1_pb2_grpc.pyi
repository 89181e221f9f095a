"""Types of the generated module of this name, which has none; written by hand."""

from collections.abc import Iterator

import grpc

from serve.protocol.inspection_v1_pb2 import Answer, Frame, ServerInfo, ServerInfoRequest

class InspectionStub:
    Inspect: grpc.UnaryUnaryMultiCallable[Frame, Answer]
    InspectStream: grpc.StreamStreamMultiCallable[Frame, Answer]
    GetServerInfo: grpc.UnaryUnaryMultiCallable[ServerInfoRequest, ServerInfo]
    def __init__(self, channel: grpc.Channel) -> None: ...

class InspectionServicer:
    def Inspect(self, request: Frame, context: grpc.ServicerContext) -> Answer: ...
    def InspectStream(
        self, request_iterator: Iterator[Frame], context: grpc.ServicerContext
    ) -> Iterator[Answer]: ...
    def GetServerInfo(
        self, request: ServerInfoRequest, context: grpc.ServicerContext
    ) -> ServerInfo: ...

def add_InspectionServicer_to_server(servicer: InspectionServicer, server: grpc.Server) -> None: ...
