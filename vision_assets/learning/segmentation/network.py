"""A light decoder: feature maps fused at the finest, refined at twice its size."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from vision_assets.learning.backbone import Backbone
from vision_assets.learning.cells import FIRST_LOGIT, worst_cells
from vision_assets.learning.fusion import WIDTH, Fusion, separable
from vision_assets.learning.task import Network

_FINER = 2


class Answer(NamedTuple):
    """What the network gives for N frames.

    Attributes:
        score: (N,) logit of badness.
        class_logits: (N, classes).
        embedding: (N, d) pooled features of the coarsest map.
        planes: (N, 1 + classes, h, w) logits; plane 0 is badness of any kind.
    """

    score: Tensor
    class_logits: Tensor
    embedding: Tensor
    planes: Tensor


class SegmentationNetwork(Network):
    """Backbone, fusion, and a judgement of every 4 x 4 pixels."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        """Fresh weights on top of `backbone`."""
        super().__init__(backbone)
        self.fusion = Fusion(backbone.channels)
        self.refine = nn.Sequential(*separable())
        self.drop = nn.Dropout2d(0.1)
        self.judge = nn.Conv2d(WIDTH, 1 + classes, 1)
        assert self.judge.bias is not None
        nn.init.constant_(self.judge.bias, FIRST_LOGIT)

    def forward(self, pixels: Tensor) -> Answer:
        """The answer for pixels (N, height, width, channels) uint8."""
        maps = self.backbone(pixels)
        fused = self.fusion(maps)
        rows, columns = (_FINER * side for side in fused.shape[2:])
        grown = functional.interpolate(fused, size=(rows, columns), mode="bilinear")
        planes = self.judge(self.drop(self.refine(grown)))
        image = worst_cells(planes)
        return Answer(image[:, 0], image[:, 1:], maps[-1].mean((2, 3)), planes)
