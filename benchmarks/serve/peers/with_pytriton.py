# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN202 - its libraries are not installed here
"""PyTriton: Triton with two instances of a Python callable; Open Inference Protocol (gRPC)."""

import sys

import numpy as np
import work
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def callable_of(session):
    def infer(requests):
        answers = []
        for request in requests:
            (frame,) = request.values()
            score, classes = work.judge(session, frame.tobytes())
            answers.append({"scores": np.asarray([score, *classes], np.float32)})
        return answers

    return infer


if __name__ == "__main__":
    port = int(sys.argv[1])
    config = TritonConfig(
        grpc_port=port,
        http_port=port + 1,
        metrics_port=port + 2,
        log_verbose=0,
        allow_metrics=False,
    )
    session = work.open_session(sys.argv[2])
    with Triton(config=config) as triton:
        triton.bind(
            model_name="inspection",
            infer_func=[callable_of(session) for _ in range(work.CORES)],
            inputs=[Tensor(name="frame", dtype=np.uint8, shape=(-1,))],
            outputs=[Tensor(name="scores", dtype=np.float32, shape=(-1,))],
            config=ModelConfig(batching=False, batcher=DynamicBatcher()),
        )
        triton.serve()
