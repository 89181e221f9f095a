"""What every engine offers, and opening one by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inspection.outputs import Outputs
from store.errors import NotFound

NAMES = ("onnxruntime", "openvino", "onnxruntime-cuda", "tensorrt")
_TENSORRT_LIBRARIES = ("tensorrt", "tensorrt_rtx")


class Engine(Protocol):
    """Runs one graph."""

    @property
    def name(self) -> str:
        """``onnxruntime``, ``openvino``, ``onnxruntime-cuda``, ``tensorrt`` or ``torch``."""

    @property
    def graph(self) -> str:
        """File name of the graph, such as ``graph.onnx``."""

    @property
    def build(self) -> str:
        """Library and version, with the device where that matters."""

    def run(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Outputs for ``(N, height, width, channels) uint8``, N >= 1.

        Several threads may call at once; as many calls as the engine was opened with streams run
        in parallel.
        """


def open_engine(
    name: str, folder: Path, graph: str = "graph.onnx", threads: int = 1, streams: int = 1
) -> Engine:
    """An engine that is ready to run.

    Args:
        name: One of `NAMES`.
        folder: Where the graph is: a bundle's folder, or any other.
        graph: The graph's file name.
        threads: CPU threads that one call may use.
        streams: Calls that are to run in parallel. For throughput: one thread, as many streams as
            cores.

    Raises:
        Unavailable: when the engine cannot run here; the message says why.
        NotFound: when the engine is unknown or the graph is missing.
    """
    if not (folder / graph).is_file():
        raise NotFound(f"{folder} has no graph {graph}")
    return _open(name, folder, graph, threads, streams)


def available() -> list[str]:
    """Names of the engines whose library is installed here.

    Whether one really runs (a GPU wheel installs without a GPU) is known once it is opened.
    """
    found = []
    if _is_installed("onnxruntime"):
        from inspection.engines.onnx_runtime import has_cuda

        found += ["onnxruntime", "onnxruntime-cuda"] if has_cuda() else ["onnxruntime"]
    if _is_installed("openvino"):
        found.append("openvino")
    if any(_is_installed(library) for library in _TENSORRT_LIBRARIES):
        found.append("tensorrt")
    return found


def _open(name: str, folder: Path, graph: str, threads: int, streams: int) -> Engine:
    # Imported here: each module needs its library, and a host has some of them.
    if name in ("onnxruntime", "onnxruntime-cuda"):
        from inspection.engines.onnx_runtime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(folder, graph, threads, streams, cuda=name.endswith("cuda"))
    if name == "openvino":
        from inspection.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(folder, graph, threads, streams)
    if name == "tensorrt":
        from inspection.engines.tensorrt import TensorRtEngine

        return TensorRtEngine(folder, graph)
    raise NotFound(f"no engine {name!r}; there are {', '.join(NAMES)}")


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
