"""Types of the generated module of this name, which has none; written by hand."""

from collections.abc import Iterator

import grpc

from serve.protocol.open_inference_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelStreamInferResponse,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)

class GRPCInferenceServiceStub:
    ServerLive: grpc.UnaryUnaryMultiCallable[ServerLiveRequest, ServerLiveResponse]
    ServerReady: grpc.UnaryUnaryMultiCallable[ServerReadyRequest, ServerReadyResponse]
    ModelReady: grpc.UnaryUnaryMultiCallable[ModelReadyRequest, ModelReadyResponse]
    ServerMetadata: grpc.UnaryUnaryMultiCallable[ServerMetadataRequest, ServerMetadataResponse]
    ModelMetadata: grpc.UnaryUnaryMultiCallable[ModelMetadataRequest, ModelMetadataResponse]
    ModelInfer: grpc.UnaryUnaryMultiCallable[ModelInferRequest, ModelInferResponse]
    ModelStreamInfer: grpc.StreamStreamMultiCallable[ModelInferRequest, ModelStreamInferResponse]
    def __init__(self, channel: grpc.Channel) -> None: ...

class GRPCInferenceServiceServicer:
    def ServerLive(
        self, request: ServerLiveRequest, context: grpc.ServicerContext
    ) -> ServerLiveResponse: ...
    def ServerReady(
        self, request: ServerReadyRequest, context: grpc.ServicerContext
    ) -> ServerReadyResponse: ...
    def ModelReady(
        self, request: ModelReadyRequest, context: grpc.ServicerContext
    ) -> ModelReadyResponse: ...
    def ServerMetadata(
        self, request: ServerMetadataRequest, context: grpc.ServicerContext
    ) -> ServerMetadataResponse: ...
    def ModelMetadata(
        self, request: ModelMetadataRequest, context: grpc.ServicerContext
    ) -> ModelMetadataResponse: ...
    def ModelInfer(
        self, request: ModelInferRequest, context: grpc.ServicerContext
    ) -> ModelInferResponse: ...
    def ModelStreamInfer(
        self, request_iterator: Iterator[ModelInferRequest], context: grpc.ServicerContext
    ) -> Iterator[ModelStreamInferResponse]: ...

def add_GRPCInferenceServiceServicer_to_server(
    servicer: GRPCInferenceServiceServicer, server: grpc.Server
) -> None: ...
