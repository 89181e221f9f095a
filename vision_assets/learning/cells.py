"""Cells of a frame: what they should be, how wrong they are, and what they make of the frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vision_assets.learning.task import Sample, Targets

FIRST_LOGIT = -4.0
"""About one of a hundred cells is bad; starting there keeps the first steps calm."""

_CELLS_PER_WORST = 320
# A cell with at least this share of defect is defective; one that is merely touched is neither.
_DEFECTIVE_SHARE = 0.1
_HARDEST_SHARE = 0.05


def labelled(samples: Sequence[Sample], classes: Sequence[str]) -> Targets:
    """What the labels of a batch say of frames and pixels.

    Returns:
        ``bad`` (N,) float32; ``classes`` (N, K) float32, NaN where not known; ``mask`` (N, h, w)
        uint8; ``has_mask`` (N,) bool.
    """
    blank = np.zeros(samples[0].pixels.shape[:2], np.uint8)
    masks = [blank if sample.mask is None else sample.mask for sample in samples]
    return {
        "bad": torch.tensor([float(sample.is_defective) for sample in samples]),
        "classes": torch.tensor([_class_row(sample, classes) for sample in samples]),
        "mask": torch.from_numpy(np.stack(masks)),
        "has_mask": torch.tensor([sample.mask is not None for sample in samples]),
    }


def _class_row(sample: Sample, classes: Sequence[str]) -> list[float]:
    if sample.classes is None:
        return [float("nan")] * len(classes)
    return [float(name in sample.classes) for name in classes]


def worst_cells(logits: Tensor) -> Tensor:
    """(N, planes): the mean of each plane's worst cells, of logits (N, planes, h, w)."""
    flat = logits.flatten(2)
    count = max(1, round(flat.shape[2] / _CELLS_PER_WORST))
    return flat.topk(count, dim=2).values.mean(2)


def cell_shares(mask: Tensor, kinds: int, size: Sequence[int]) -> Tensor:
    """The share of each cell that a defect covers.

    Args:
        mask: (N, H, W) uint8, 0 good, 1..kinds a class, `UNKNOWN_CLASS`.
        kinds: Number of classes.
        size: Rows and columns of cells.

    Returns:
        (N, 1 + kinds, rows, columns) float32 in [0, 1]; plane 0 is any defect.
    """
    planes = [mask > 0, *(mask == kind for kind in range(1, kinds + 1))]
    return functional.adaptive_avg_pool2d(torch.stack(planes, 1).float(), (size[0], size[1]))


def cell_loss(logits: Tensor, share: Tensor, known: Tensor) -> Tensor:
    """Mean over known frames and planes of the loss on defective and on the hardest good cells."""
    logits, share = logits.flatten(2), share.flatten(2)
    # A defect smaller than any cell's limit still has the cell it covers most.
    limit = share.amax(2, keepdim=True).clamp(max=_DEFECTIVE_SHARE)
    is_bad = (share >= limit) & (share > 0)
    hardest = max(1, round(logits.shape[2] * _HARDEST_SHARE))
    missed = functional.softplus(-logits) * is_bad
    raised = functional.softplus(logits) * (share == 0)
    per_plane = missed.sum(2) / is_bad.sum(2).clamp(min=1) + raised.topk(hardest, 2).values.mean(2)
    return mean_where(per_plane, known[:, None].expand_as(per_plane))


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the chosen values; 0 of none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)
