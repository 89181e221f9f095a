"""Segmentation as training, evaluation and export see it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from inspection.outputs import OUTPUT_NAMES
from vision_assets.learning.backbone import Backbone
from vision_assets.learning.cells import cell_loss, cell_shares, labelled, mean_where
from vision_assets.learning.segmentation.network import Answer, SegmentationNetwork
from vision_assets.learning.task import Answer as TaskAnswer
from vision_assets.learning.task import Frames, Graph, Network, Sample, Targets, Task


class Segmentation:
    """A mask for every defect class."""

    def network(self, backbone: Backbone, classes: Sequence[str]) -> SegmentationNetwork:
        """A decoder with fresh weights on the backbone."""
        return SegmentationNetwork(backbone, len(classes))

    def targets(self, samples: Sequence[Sample], classes: Sequence[str]) -> Targets:
        """Image labels, classes and masks; see `cells.labelled`."""
        return labelled(samples, classes)

    def loss(self, answer: TaskAnswer, targets: Targets) -> dict[str, Tensor]:
        """``image`` of every frame; the others of those whose masks are known."""
        assert isinstance(answer, Answer)
        kinds = answer.planes.shape[1] - 1
        share = cell_shares(targets["mask"], kinds, answer.planes.shape[2:])
        known = targets["has_mask"]
        named = known & ~torch.isnan(targets["classes"]).any(1)
        return {
            "image": functional.binary_cross_entropy_with_logits(answer.score, targets["bad"]),
            "pixel": cell_loss(answer.planes[:, :1], share[:, :1], known),
            "pixel_class": cell_loss(answer.planes[:, 1:], share[:, 1:], named),
            "overlap": _overlap_loss(answer.planes, share, named),
        }

    def finalise(self, network: Network, good: Frames, held_out: Frames) -> None:
        """Nothing is left to do."""

    def graph(self, network: Network) -> Graph:
        """The exported module."""
        assert isinstance(network, SegmentationNetwork)
        return SegmentationGraph(network)


class SegmentationGraph(Graph):
    """The contract's outputs, `segments` among them."""

    output_names = (*OUTPUT_NAMES, "segments")

    def __init__(self, network: SegmentationNetwork) -> None:
        """Wrap a network; its weights are shared, not copied."""
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Score (N,), class scores (N, K), embedding, map (N, h, w) and segments (N, K, h, w)."""
        answer = self.network(pixels)
        planes = answer.planes.sigmoid()
        classes = answer.class_logits.sigmoid()
        return answer.score, classes, answer.embedding, planes[:, 0], planes[:, 1:]


def _overlap_loss(logits: Tensor, share: Tensor, known: Tensor) -> Tensor:
    """One minus the soft Dice coefficient of each plane that has a defect.

    Milletari et al., "V-Net", 3DV 2016, with the squared denominator.
    """
    found = logits.sigmoid()
    both = (found * share).sum((2, 3))
    whole = (found**2).sum((2, 3)) + (share**2).sum((2, 3))
    has_defect = (share.sum((2, 3)) > 0) & known[:, None]
    return mean_where(1 - 2 * both / whole.clamp(min=torch.finfo(whole.dtype).tiny), has_defect)


TASK: Task = Segmentation()
