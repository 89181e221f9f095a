"""Classification as training, evaluation and export see it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vision_assets.learning.backbone import Backbone
from vision_assets.learning.cells import labelled
from vision_assets.learning.classification.graph import ClassificationGraph
from vision_assets.learning.classification.loss import losses
from vision_assets.learning.classification.network import Answer, CellNetwork
from vision_assets.learning.task import Answer as TaskAnswer
from vision_assets.learning.task import Frames, Network, Sample, Targets, Task


class Classification:
    """Good or defective, with independent defect classes."""

    def network(self, backbone: Backbone, classes: Sequence[str]) -> CellNetwork:
        """A `CellNetwork` with fresh weights on the backbone."""
        return CellNetwork(backbone, len(classes))

    def targets(self, samples: Sequence[Sample], classes: Sequence[str]) -> Targets:
        """Image labels, classes and masks; see `cells.labelled`."""
        return labelled(samples, classes)

    def loss(self, answer: TaskAnswer, targets: Targets) -> dict[str, Tensor]:
        """Parts for the image and for its cells; see `loss.losses`."""
        assert isinstance(answer, Answer)
        return losses(answer, targets)

    def finalise(self, network: Network, good: Frames, held_out: Frames) -> None:
        """Nothing is left to do."""

    def graph(self, network: Network) -> ClassificationGraph:
        """The exported module."""
        assert isinstance(network, CellNetwork)
        return ClassificationGraph(network)


TASK: Task = Classification()
