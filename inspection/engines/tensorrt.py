"""TensorRT 10, 11 and RTX: runs a plan that was built for this GPU ahead of time.

Written against the calls that all three share. **Never executed where it was written: no GPU was
there.** Loading without a driver is tested, running is not; tests of it are marked ``gpu``.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from inspection.bundle import plan_folder
from inspection.engines.cuda_driver import CudaDevice
from inspection.outputs import Outputs, output_names
from store.errors import Unavailable

_LIBRARIES = ("tensorrt", "tensorrt_rtx")


class TensorRtEngine:
    """One plan with one execution context; callers take turns, as they would on the GPU."""

    def __init__(self, folder: Path, graph: str) -> None:
        """Load the plan that fits the graph, the library here and the GPU here.

        Raises:
            Unavailable: when there is no library, no GPU or no plan for both.
            InvalidInput: when the plan lacks an output.
        """
        self.name = "tensorrt"
        self.graph = graph
        trt = _library()
        self._device = CudaDevice()
        path = plan_path(folder, graph, trt.__name__, trt.__version__, self._device.capability)
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise Unavailable(f"tensorrt cannot load {path.name}; build the plan again")
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._names = output_names(graph, names)
        self._input = next(name for name in names if name not in self._names)
        self._most = int(self._engine.get_tensor_profile_shape(self._input, 0)[2][0])
        self._buffers: dict[str, tuple[int, int]] = {}
        self._turn = threading.Lock()
        self.build = f"{trt.__name__} {trt.__version__} {self._device.capability}"

    def run(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Outputs for (N, height, width, channels) uint8; in several calls when N exceeds the plan.

        Raises:
            Unavailable: when the library or the driver fails.
        """
        with self._turn:
            self._device.enter()
            parts = [
                self._execute(np.ascontiguousarray(pixels[first : first + self._most]))
                for first in range(0, len(pixels), self._most)
            ]
        whole = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return Outputs(**dict(zip(self._names, whole, strict=True)))

    def _execute(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        self._context.set_input_shape(self._input, pixels.shape)
        self._device.upload(self._bind(self._input, pixels.nbytes), pixels)
        results = [
            np.empty(tuple(self._context.get_tensor_shape(name)), np.float32)
            for name in self._names
        ]
        named = list(zip(self._names, results, strict=True))
        addresses = [self._bind(name, result.nbytes) for name, result in named]
        if not self._context.execute_async_v3(self._device.stream):
            raise Unavailable(f"tensorrt failed on {self.graph}")
        for result, address in zip(results, addresses, strict=True):
            self._device.download(result, address)
        self._device.wait()
        return results

    def _bind(self, tensor: str, size_bytes: int) -> int:
        """The address of the tensor's buffer, grown when it is too small."""
        address, size = self._buffers.get(tensor, (0, 0))
        if size < size_bytes:
            if address:
                self._device.free(address)
            address = self._device.allocate(size_bytes)
            self._buffers[tensor] = (address, size_bytes)
        self._context.set_tensor_address(tensor, address)
        return address


def _library() -> ModuleType:
    for name in _LIBRARIES:
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    raise Unavailable(f"none of {', '.join(_LIBRARIES)} is installed")


def plan_path(folder: Path, graph: str, library: str, version: str, capability: str) -> Path:
    """The plan in a bundle's folder that a library on a GPU can load.

    Args:
        folder: The bundle's.
        graph: The graph it was built from.
        library: ``tensorrt`` or ``tensorrt_rtx``.
        version: Of the library.
        capability: Of the GPU, such as ``sm86``.

    Raises:
        Unavailable: when there is none.
    """
    for path in sorted((folder / plan_folder(graph, library, version)).glob("*.plan")):
        if capability in path.stem.split("-"):
            return path
    raise Unavailable(f"no plan of {graph} for {library} {version} and {capability}: build one")
