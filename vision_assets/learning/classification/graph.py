"""The module that is exported, and that the torch engine runs."""

from __future__ import annotations

from torch import Tensor

from vision_assets.learning.classification.network import CellNetwork
from vision_assets.learning.task import Graph


class ClassificationGraph(Graph):
    """Pixels (N, height, width, channels) uint8 to the four outputs of the contract.

    Cast, channel expansion and normalisation are inside; so is all that comes after.
    """

    def __init__(self, network: CellNetwork) -> None:
        """Wrap a network; its weights are shared, not copied."""
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Score (N,), class scores (N, K), embedding (N, d) and map (N, rows, columns)."""
        answer = self.network(pixels)
        return (
            answer.score,
            answer.class_logits.sigmoid(),
            answer.embedding,
            answer.cells[:, 0].sigmoid(),
        )
