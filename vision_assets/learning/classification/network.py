"""From feature maps to cells, from cells to an image: the classification network.

Every cell of 8 x 8 pixels is judged for itself, in the light of the coarser maps around it. The
image's score is the mean of its worst cells, so that a defect of a few pixels weighs as much as a
large one, and the map says where the score comes from.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vision_assets.learning.backbone import Backbone
from vision_assets.learning.task import Network

_WIDTH = 96
_CELLS_PER_WORST = 320
# A cell is bad in about one of a hundred frames' cells; starting there keeps the first steps calm.
_FIRST_LOGIT = -4.0


class Answer(NamedTuple):
    """What the network gives for N frames.

    Attributes:
        score: (N,) logit of badness.
        class_logits: (N, classes).
        embedding: (N, d) pooled features of the coarsest map.
        cells: (N, 1 + classes, h, w) logits; plane 0 is badness of any kind.
    """

    score: Tensor
    class_logits: Tensor
    embedding: Tensor
    cells: Tensor


class CellNetwork(Network):
    """Backbone, fusion to the finest map, one judgement per cell."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        """Fresh weights on top of `backbone`."""
        super().__init__(backbone)
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, _WIDTH, 1, bias=False), nn.BatchNorm2d(_WIDTH))
            for channels in backbone.channels
        )
        self.mix = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, groups=_WIDTH, bias=False),
            nn.Conv2d(_WIDTH, _WIDTH, 1, bias=False),
            nn.BatchNorm2d(_WIDTH),
            nn.ReLU(),
        )
        self.drop = nn.Dropout2d(0.1)
        self.judge = nn.Conv2d(_WIDTH, 1 + classes, 1)
        assert self.judge.bias is not None
        nn.init.constant_(self.judge.bias, _FIRST_LOGIT)

    def forward(self, pixels: Tensor) -> Answer:
        """The answer for pixels (N, height, width, channels) uint8."""
        maps = self.backbone(pixels)
        cells = self.judge(self.drop(self.mix(self._fuse(maps))))
        worst = cells.flatten(2)
        count = max(1, round(worst.shape[2] / _CELLS_PER_WORST))
        image = worst.topk(count, dim=2).values.mean(2)
        return Answer(image[:, 0], image[:, 1:], maps[-1].mean((2, 3)), cells)

    def _fuse(self, maps: list[Tensor]) -> Tensor:
        size = maps[0].shape[2:]
        projected = [lateral(found) for lateral, found in zip(self.laterals, maps, strict=True)]
        coarser = [
            functional.interpolate(found, size=size, mode="bilinear") for found in projected[1:]
        ]
        return torch.stack([projected[0], *coarser]).sum(0) if coarser else projected[0]
