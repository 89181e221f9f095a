"""Good patches remembered in bounded memory while frames stream by.

Centres that cover all patches within a radius, which grows whenever there are too many of them: the
doubling algorithm for k centres in one pass (Charikar, Chekuri, Feder and Motwani, "Incremental
clustering and dynamic information retrieval", STOC 1997), with a smaller factor. What is kept does
not grow with the number of frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GROWTH = 1.05
"""Of the radius; the smaller, the closer to the limit the number of centres stays."""


class Memory:
    """Centres of the patches seen so far.

    Attributes:
        centres: (k, d) float32, k at most `most`.
        support: (k,) int64, in how many frames a patch lay within the radius of each.
    """

    def __init__(self, size: int, most: int) -> None:
        """Remember patches of `size` values by at most `most` centres."""
        self.centres = torch.empty(0, size)
        self.support = torch.empty(0, dtype=torch.int64)
        self._most = most
        self._radius2 = 0.0

    def add(self, patches: Tensor) -> None:
        """See the patches (p, d) of one frame."""
        if len(self.centres):
            distance2, nearest = squared_distances(patches, self.centres).min(1)
            is_near = distance2 <= self._radius2
            self.support[torch.unique(nearest[is_near])] += 1
            patches = patches[~is_near]
        fresh = spread_out(patches, self._radius2)
        self.centres = torch.cat([self.centres, patches[fresh]])
        self.support = torch.cat([self.support, torch.ones(len(fresh), dtype=torch.int64)])
        while len(self.centres) > self._most:
            self._widen()

    def bank(self, size: int, least_support: int) -> Tensor:
        """The centres of a bank, (size, d), spread over what was seen in enough frames.

        A pattern that hardly any frame shows is left out: it may be a defect that nobody noticed.
        Fewer centres than `size` are repeated.
        """
        kept = self.centres[self.support >= least_support]
        kept = kept if len(kept) else self.centres
        chosen = kept[farthest_first(kept, size)]
        return chosen.repeat(-(-size // len(chosen)), 1)[:size]

    def _widen(self) -> None:
        """Let the radius grow and merge the centres within it; the first ones stay."""
        distances = squared_distances(self.centres, self.centres).fill_diagonal_(torch.inf)
        closest = float(distances.min())
        self._radius2 = max(self._radius2 * _GROWTH**2, closest)
        kept = spread_out(self.centres, self._radius2)
        _, nearest = squared_distances(self.centres, self.centres[kept]).min(1)
        merged = torch.zeros(len(kept), dtype=torch.int64)
        self.support = merged.index_add_(0, nearest, self.support)
        self.centres = self.centres[kept]


def squared_distances(patches: Tensor, centres: Tensor) -> Tensor:
    """(p, k) squared Euclidean distances of (p, d) and (k, d)."""
    squares = (patches**2).sum(1, keepdim=True) + (centres**2).sum(1)
    return (squares - 2 * patches @ centres.T).clamp(min=0)


def spread_out(patches: Tensor, radius2: float) -> Tensor:
    """Indices of patches (p, d) of which none lies within the radius of an earlier one."""
    if not len(patches):
        return torch.empty(0, dtype=torch.int64)
    is_near = squared_distances(patches, patches) <= radius2
    is_open = torch.ones(len(patches), dtype=torch.bool)
    chosen = []
    for index in range(len(patches)):
        if is_open[index]:
            chosen.append(index)
            is_open &= ~is_near[index]
    return torch.tensor(chosen, dtype=torch.int64)


def farthest_first(points: Tensor, count: int) -> Tensor:
    """Indices of at most `count` points (n, d), each the farthest from those before.

    Gonzalez, "Clustering to minimize the maximum intercluster distance", TCS 38, 1985.
    """
    first = int(((points - points.mean(0)) ** 2).sum(1).argmin())
    chosen, distance2 = [first], ((points - points[first]) ** 2).sum(1)
    while len(chosen) < min(count, len(points)):
        farthest = int(distance2.argmax())
        chosen.append(farthest)
        distance2 = torch.minimum(distance2, ((points - points[farthest]) ** 2).sum(1))
    return torch.tensor(chosen, dtype=torch.int64)
