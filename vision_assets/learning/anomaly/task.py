"""Anomaly detection as training, evaluation and export see it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from store.errors import InvalidInput
from vision_assets.learning.anomaly.memory import Memory
from vision_assets.learning.anomaly.network import BANK, PatchMemory
from vision_assets.learning.backbone import Backbone
from vision_assets.learning.task import Answer, Frames, Graph, Network, Sample, Targets, Task

_REMEMBERED = 4 * BANK
_LEAST_SHARE = 0.005
"""Of the frames that must show a pattern, at least two, for it to be good: what fewer show may be a
defect that nobody noticed."""


class Anomaly:
    """Good, or unlike anything good."""

    def network(self, backbone: Backbone, classes: Sequence[str]) -> PatchMemory:
        """An empty memory on the backbone; there are no classes to tell apart."""
        return PatchMemory(backbone)

    def targets(self, samples: Sequence[Sample], classes: Sequence[str]) -> Targets:
        """Nothing: no gradient changes the network."""
        return {}

    def loss(self, answer: Answer, targets: Targets) -> dict[str, Tensor]:
        """Nothing to minimise."""
        return {}

    @torch.inference_mode()
    def finalise(self, network: Network, good: Frames, held_out: Frames) -> None:
        """Project features, remember good patches, and scale distances by unseen good frames.

        Two passes over `good` and one over `held_out`; memory does not grow with their number.

        Raises:
            InvalidInput: when there is no good frame of either role.
        """
        assert isinstance(network, PatchMemory)
        mean, projection = _components(network, good)
        network.mean.copy_(mean)
        network.projection.copy_(projection)
        size = projection.shape[1]
        memory, frames = Memory(size, _REMEMBERED), 0
        for pixels in good():
            for frame in network.patches(network.features(network.backbone(pixels))):
                memory.add(frame.reshape(-1, size))
                frames += 1
        network.bank.copy_(memory.bank(BANK, max(2, round(_LEAST_SHARE * frames))))
        worst = [network(pixels).score for pixels in held_out()]
        if not worst:
            raise InvalidInput("role tune has no good frame to scale distances by: deliver more")
        scores = torch.cat(worst)
        network.centre.copy_(scores.mean())
        network.spread.copy_(scores.std(correction=0).clamp(min=1e-6))

    def graph(self, network: Network) -> AnomalyGraph:
        """The exported module."""
        assert isinstance(network, PatchMemory)
        return AnomalyGraph(network)


class AnomalyGraph(Graph):
    """Pixels (N, height, width, channels) uint8 to the four outputs of the contract."""

    def __init__(self, network: PatchMemory) -> None:
        """Wrap a network; its weights and its bank are shared, not copied."""
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Score (N,), class scores (N, 1), embedding (N, d) and map (N, rows, columns)."""
        answer = self.network(pixels)
        return (
            answer.score,
            answer.score.sigmoid()[:, None],
            answer.embedding,
            answer.distances / (answer.distances + self.network.centre),
        )


def _components(network: PatchMemory, good: Frames) -> tuple[Tensor, Tensor]:
    """Mean and first principal components of the features of all good patches.

    Returns:
        (channels,) and (channels, SIZE), from sums in float64 that do not grow with the frames.
    """
    channels = len(network.mean)
    count, total = 0, torch.zeros(channels, dtype=torch.float64)
    products = torch.zeros(channels, channels, dtype=torch.float64)
    for pixels in good():
        features = network.features(network.backbone(pixels)).flatten(0, 2).double()
        count += len(features)
        total += features.sum(0)
        products += features.T @ features
    if not count:
        raise InvalidInput("role train has no good frame to learn from: deliver more")
    mean = total / count
    _, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    # The largest last; a vector's sign is free, so it is fixed.
    kept = vectors[:, -network.projection.shape[1] :].flip(1)
    signs = kept.gather(0, kept.abs().argmax(0, keepdim=True)).sign()
    return mean.float(), (kept * signs).float()


TASK: Task = Anomaly()
