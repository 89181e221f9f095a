"""What training, evaluation and export ask of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from inspection.outputs import OUTPUT_NAMES
from vision_assets.learning.backbone import Backbone

UNKNOWN_CLASS = 255
"""In a class mask: defective, but of no class that has a name."""

Targets = Mapping[str, Tensor]
"""What a task learns from one batch, by name; the first axis is N."""

Frames = Callable[[], Iterator[Tensor]]
"""Gives frames as they are in batches (n, h, w, channels) uint8, from the first, at every call."""


@dataclass(frozen=True)
class Sample:
    """One training frame as it is after augmentation.

    Attributes:
        pixels: (h, w, channels) uint8.
        is_defective: Whether the frame shows a defect.
        classes: Its defect classes; None when they are not known.
        mask: (h, w) uint8, 0 good, k the class ``classes[k-1]`` of the line, `UNKNOWN_CLASS`;
            None when nobody said where the defect is.
    """

    pixels: NDArray[np.uint8]
    is_defective: bool
    classes: tuple[str, ...] | None
    mask: NDArray[np.uint8] | None


class Network(nn.Module):
    """A network of any task: a backbone with something on it; takes pixels, gives an `Answer`."""

    def __init__(self, backbone: Backbone) -> None:
        """Stand on a backbone."""
        super().__init__()
        self.backbone = backbone


class Graph(nn.Module):
    """The module that is exported: pixels (N, height, width, channels) uint8 to a tuple of outputs.

    Cast, channel expansion and normalisation are inside; so is all that comes after.

    Attributes:
        output_names: Of the tuple, as `inspection.outputs` has them.
    """

    output_names: tuple[str, ...] = OUTPUT_NAMES


class Answer(Protocol):
    """What every task's network gives, besides what its own loss and graph need."""

    @property
    def score(self) -> Tensor:
        """(N,) logit of badness."""


class Task(Protocol):
    """One kind of answer: its network, its targets, its loss and its graph.

    Pixels are ``(N, h, w, channels) uint8`` tensors throughout.
    """

    def network(self, backbone: Backbone, classes: Sequence[str]) -> Network:
        """A network on the backbone; its head has fresh weights."""

    def targets(self, samples: Sequence[Sample], classes: Sequence[str]) -> Targets:
        """What `loss` compares the network's answer with."""

    def loss(self, answer: Answer, targets: Targets) -> dict[str, Tensor]:
        """Named scalar parts; their sum is minimised.

        Args:
            answer: What the network of this task gave.
            targets: Of the same frames.
        """

    def finalise(self, network: Network, good: Frames, held_out: Frames) -> None:
        """Build what gradients do not, such as a memory; called once, on the weights that are kept.

        A network without a parameter that asks for a gradient is made by this alone.

        Args:
            network: To be changed.
            good: Good frames of the role `train`.
            held_out: Good frames of the role `tune`.
        """

    def graph(self, network: Network) -> Graph:
        """What is exported; it shares the network's weights."""
