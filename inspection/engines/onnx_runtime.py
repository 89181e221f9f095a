"""ONNX Runtime on CPU and on CUDA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from inspection.outputs import Outputs, output_names
from store.errors import Unavailable

_CUDA = "CUDAExecutionProvider"
# The library's errors have no common base of their own.
_ERRORS = tuple(
    error
    for error in vars(ort_errors).values()
    if isinstance(error, type) and issubclass(error, Exception)
)
_ONLY_ERRORS = 3


def has_cuda() -> bool:
    """Whether this build of ONNX Runtime knows CUDA; it says so without a GPU, too."""
    return _CUDA in ort.get_available_providers()


class OnnxRuntimeEngine:
    """One session, which any number of threads may call at once.

    Each caller runs its part in its own thread; sessions of their own for each would hold the
    weights several times and were not faster (`docs/reference/bundle.md`).
    """

    def __init__(
        self, folder: Path, graph: str, threads: int = 1, streams: int = 1, *, cuda: bool = False
    ) -> None:
        """Load a graph.

        Raises:
            Unavailable: when the library cannot load it, or CUDA does not run here.
            InvalidInput: when the graph lacks an output.
        """
        self.name = "onnxruntime-cuda" if cuda else "onnxruntime"
        self.graph = graph
        providers = [_CUDA, "CPUExecutionProvider"] if cuda else ["CPUExecutionProvider"]
        try:
            self._session = ort.InferenceSession(
                str(folder / graph), _options(threads, streams), providers=providers
            )
        except _ERRORS as error:
            raise Unavailable(f"{self.name} cannot load {graph}: {error}") from error
        # The list of available providers names CUDA on hosts without a GPU; the session knows.
        if cuda and self._session.get_providers()[0] != _CUDA:
            raise Unavailable(f"{self.name}: CUDA does not run here; check driver and libraries")
        self._names = output_names(graph, [out.name for out in self._session.get_outputs()])
        self._input = self._session.get_inputs()[0].name
        self.build = f"onnxruntime {ort.__version__} {'cuda' if cuda else 'cpu'}"

    def run(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Outputs for (N, height, width, channels) uint8.

        Raises:
            Unavailable: when the library fails.
        """
        try:
            found = self._session.run(self._names, {self._input: pixels})
        except _ERRORS as error:
            raise Unavailable(f"{self.name} failed on {self.graph}: {error}") from error
        return Outputs(**dict(zip(self._names, found, strict=True)))


def _options(threads: int, streams: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_ERRORS
    if streams > 1:
        # Threads that spin while they wait take the cores from the other callers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
