"""What a graph gives for N frames, the same for every engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from store.errors import InvalidInput

OUTPUT_NAMES = ("score", "class_scores", "embedding", "map")
"""What every graph gives."""

MORE_NAMES = ("segments", "boxes")
"""What a graph may give besides, in this order."""

BOX_VALUES = 6
"""Of a box: left, top, right, bottom as shares of width and height, score, number of the class."""


@dataclass(frozen=True)
class Outputs:
    """Outputs of one engine call.

    Attributes:
        score: (N,) float32, unbounded, rises with badness (a logit).
        class_scores: (N, classes) float32 in [0, 1]; independent, several may be high.
        embedding: (N, d) float32.
        map: (N, h, w) float32 in [0, 1], where the badness is.
        segments: (N, classes, rows, columns) float32 in [0, 1], where each class is; or None.
        boxes: (N, k, 6) float32, see `BOX_VALUES`, highest score first; a score of 0 is no box. Or
            None.
    """

    score: NDArray[np.float32]
    class_scores: NDArray[np.float32]
    embedding: NDArray[np.float32]
    map: NDArray[np.float32]
    segments: NDArray[np.float32] | None = None
    boxes: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.score)

    def row(self, index: int) -> Outputs:
        """The outputs of one frame, still with a leading axis of 1."""
        part = slice(index, index + 1)
        return Outputs(
            self.score[part],
            self.class_scores[part],
            self.embedding[part],
            self.map[part],
            None if self.segments is None else self.segments[part],
            None if self.boxes is None else self.boxes[part],
        )


def output_names(graph: str, names: Iterable[str]) -> list[str]:
    """Which of a graph's outputs `Outputs` holds, in its order.

    Args:
        graph: Named in the error.
        names: Of all its outputs.

    Raises:
        InvalidInput: when an output is missing.
    """
    found = sorted(names)
    missing = [name for name in OUTPUT_NAMES if name not in found]
    if missing:
        raise InvalidInput(f"{graph} lacks the outputs {missing}, it has {found}; export it again")
    return [name for name in (*OUTPUT_NAMES, *MORE_NAMES) if name in found]
