"""OpenVINO on CPU."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from inspection.outputs import Outputs, output_names
from store.errors import Unavailable


class OpenVinoEngine:
    """One compiled model, with a request of its own for each calling thread."""

    def __init__(self, folder: Path, graph: str, threads: int = 1, streams: int = 1) -> None:
        """Compile a graph.

        Raises:
            Unavailable: when the library cannot compile it.
            InvalidInput: when the graph lacks an output.
        """
        self.name = "openvino"
        self.graph = graph
        self.build = f"openvino {ov.get_version()} cpu"
        settings = {
            # The default computes in bfloat16 where the CPU has it: scores off by up to 0.045.
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(threads * streams),
        }
        try:
            self._model = ov.Core().compile_model(str(folder / graph), "CPU", settings)
        except RuntimeError as error:
            raise Unavailable(f"openvino cannot load {graph}: {error}") from error
        found = [name for out in self._model.outputs for name in out.names]
        self._names = output_names(graph, found)
        self._requests = threading.local()

    def run(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Outputs for (N, height, width, channels) uint8.

        Raises:
            Unavailable: when the library fails.
        """
        request = self._request()
        try:
            request.infer({0: pixels}, share_inputs=True)
        except RuntimeError as error:
            raise Unavailable(f"openvino failed on {self.graph}: {error}") from error
        # Copied: the request's own buffers are written again by the next call of this thread.
        return Outputs(**{name: request.get_tensor(name).data.copy() for name in self._names})

    def _request(self) -> ov.InferRequest:
        request = getattr(self._requests, "mine", None)
        if request is None:
            request = self._requests.mine = self._model.create_infer_request()
        return request
