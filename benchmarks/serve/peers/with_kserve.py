# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, ANN204, D101, D102 - its libraries are not installed here
"""KServe's ModelServer over the Open Inference Protocol (gRPC); the work is done in threads."""

import asyncio
import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import work
from kserve import InferOutput, InferResponse, Model, ModelServer


class Inspection(Model):
    def __init__(self, graph):
        super().__init__("inspection")
        self.session = work.open_session(graph)
        self.pool = ThreadPoolExecutor(work.CORES)
        self.ready = True

    def work(self, request):
        data = request.inputs[0].as_numpy().tobytes()
        score, classes = work.judge(self.session, data)
        output = InferOutput("scores", [1, 1 + len(classes)], "FP32")
        output.set_data_from_numpy(np.asarray([[score, *classes]], np.float32))
        return InferResponse(request.id, self.name, [output])

    async def predict(self, payload, headers=None, response_headers=None):
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.work, payload)


if __name__ == "__main__":
    port = int(sys.argv[1])
    logging.disable(logging.INFO)  # or it writes a line for each request
    ModelServer(http_port=port + 1, grpc_port=port, workers=1, enable_latency_logging=False).start(
        [Inspection(sys.argv[2])]
    )
