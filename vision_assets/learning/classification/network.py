"""From feature maps to cells, from cells to an image: the classification network.

Every cell of 8 x 8 pixels is judged for itself, in the light of the coarser maps around it. The
image's score is the mean of its worst cells, so that a defect of a few pixels weighs as much as a
large one, and the map says where the score comes from.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from vision_assets.learning.backbone import Backbone
from vision_assets.learning.cells import FIRST_LOGIT, worst_cells
from vision_assets.learning.fusion import WIDTH, Fusion
from vision_assets.learning.task import Network


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
        self.fusion = Fusion(backbone.channels)
        self.drop = nn.Dropout2d(0.1)
        self.judge = nn.Conv2d(WIDTH, 1 + classes, 1)
        assert self.judge.bias is not None
        nn.init.constant_(self.judge.bias, FIRST_LOGIT)

    def forward(self, pixels: Tensor) -> Answer:
        """The answer for pixels (N, height, width, channels) uint8."""
        maps = self.backbone(pixels)
        cells = self.judge(self.drop(self.fusion(maps)))
        image = worst_cells(cells)
        return Answer(image[:, 0], image[:, 1:], maps[-1].mean((2, 3)), cells)
