"""How far each patch of a frame is from every good patch: the patch memory.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), CVPR 2022, with a
memory that is built while frames stream by (`memory`), and features that are projected on their
principal components, so that the memory is small enough for any engine to search.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from vision_assets.learning.anomaly.memory import squared_distances
from vision_assets.learning.backbone import Backbone
from vision_assets.learning.task import Network

BANK = 1024
"""Patches that are remembered."""

SIZE = 64
"""Values of a patch, at most."""

_MAPS = 2
_NEIGHBOURHOOD = 3
_WORST = 3


class Answer(NamedTuple):
    """What the network gives for N frames.

    Attributes:
        score: (N,) how far the worst patches are from good ones, in standard deviations of good
            frames' own worst patches.
        embedding: (N, d) pooled features of the coarsest map.
        distances: (N, h, w) of each patch to the nearest good one.
    """

    score: Tensor
    embedding: Tensor
    distances: Tensor


class PatchMemory(Network):
    """A frozen backbone and a bank of good patches.

    Attributes:
        bank: (BANK, SIZE) good patches.
        mean: (channels,) of good patches' features.
        projection: (channels, SIZE) their principal components.
        centre, spread: Of the worst distance of good frames that are not in the bank.
    """

    bank: Tensor
    mean: Tensor
    projection: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, backbone: Backbone) -> None:
        """An empty memory on `backbone`, which is frozen."""
        super().__init__(backbone.requires_grad_(False))
        channels = sum(backbone.channels[:_MAPS])
        self.register_buffer("bank", torch.zeros(BANK, min(SIZE, channels)))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("projection", torch.zeros(channels, min(SIZE, channels)))
        self.register_buffer("centre", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(1.0))

    def forward(self, pixels: Tensor) -> Answer:
        """The answer for pixels (N, height, width, channels) uint8."""
        maps = self.backbone(pixels)
        patches = self.patches(self.features(maps))
        count, rows, columns, size = patches.shape
        nearest = squared_distances(patches.reshape(-1, size), self.bank).amin(1)
        distances = nearest.clamp(min=1e-12).sqrt().reshape(count, rows, columns)
        worst = distances.flatten(1).topk(_WORST, 1).values.mean(1)
        score = (worst - self.centre) / self.spread
        return Answer(score, maps[-1].mean((2, 3)), distances)

    def features(self, maps: list[Tensor]) -> Tensor:
        """Features (N, rows, columns, channels) of patches, each with its neighbours."""
        finest = maps[: min(_MAPS, len(maps))]
        size = finest[0].shape[2:]
        pooled = [
            functional.avg_pool2d(found, _NEIGHBOURHOOD, 1, _NEIGHBOURHOOD // 2) for found in finest
        ]
        grown = [
            found
            if found.shape[2:] == size
            else functional.interpolate(found, size=size, mode="bilinear")
            for found in pooled
        ]
        return torch.cat(grown, 1).permute(0, 2, 3, 1)

    def patches(self, features: Tensor) -> Tensor:
        """On their principal components: (N, rows, columns, SIZE)."""
        return (features - self.mean) @ self.projection
