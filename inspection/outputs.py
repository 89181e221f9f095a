"""What a graph gives for N frames, the same for every engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from store.errors import InvalidInput

OUTPUT_NAMES = ("score", "class_scores", "embedding", "map")


@dataclass(frozen=True)
class Outputs:
    """Outputs of one engine call.

    Attributes:
        score: (N,) float32, unbounded, rises with badness (a logit).
        class_scores: (N, classes) float32 in [0, 1]; independent, several may be high.
        embedding: (N, d) float32.
        map: (N, h, w) float32 in [0, 1], where the badness is.
    """

    score: NDArray[np.float32]
    class_scores: NDArray[np.float32]
    embedding: NDArray[np.float32]
    map: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.score)

    def row(self, index: int) -> Outputs:
        """The outputs of one frame, still with a leading axis of 1."""
        part = slice(index, index + 1)
        return Outputs(
            self.score[part], self.class_scores[part], self.embedding[part], self.map[part]
        )


def require_output_names(graph: str, names: Iterable[str]) -> None:
    """Check that a graph gives what `Outputs` holds.

    Raises:
        InvalidInput: when an output is missing.
    """
    found = sorted(names)
    missing = [name for name in OUTPUT_NAMES if name not in found]
    if missing:
        raise InvalidInput(f"{graph} lacks the outputs {missing}, it has {found}; export it again")
