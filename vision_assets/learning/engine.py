"""The torch engine: runs the very module that is exported; the reference for all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inspection.outputs import OUTPUT_NAMES, Outputs
from store.artifacts import Artifact
from store.keys import LineKey
from store.root import Store
from vision_assets.learning.trained import WEIGHTS, contract_of, load_graph

__all__ = ["TorchEngine", "load_graph"]


class TorchEngine:
    """Runs a model in torch on the CPU, in float32."""

    name = "torch"
    graph = WEIGHTS

    def __init__(self, module: nn.Module, names: Sequence[str] = OUTPUT_NAMES) -> None:
        """Take a module as `load_graph` gives it, and what its outputs are called."""
        self.module = module
        self._names = tuple(names)
        self.build = f"torch {torch.__version__} cpu"

    @classmethod
    def load(cls, store: Store, line: LineKey, model: Artifact) -> TorchEngine:
        """The engine of a trained model."""
        names = contract_of(store, line, model).output_names
        return cls(load_graph(store, line, model), names)

    @torch.inference_mode()
    def run(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Outputs for (N, height, width, channels) uint8."""
        found = self.module(torch.from_numpy(np.ascontiguousarray(pixels)))
        arrays = [value.float().numpy() for value in found]
        return Outputs(**dict(zip(self._names, arrays, strict=True)))
