"""What the cells and the image are compared with.

Where a mask says so, cells are judged: of every frame the mean over its defective cells and the
mean over its hardest good cells, so that neither a large defect nor the many easy good cells drown
a small defect (online hard example mining: Shrivastava et al. 2016, https://arxiv.org/abs/1604.03540).
Every frame, with or without a mask, is judged by its worst cells.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vision_assets.learning.cells import cell_loss, cell_shares, mean_where
from vision_assets.learning.classification.network import Answer
from vision_assets.learning.task import Targets

_CLASS_WEIGHT = 0.5


def losses(answer: Answer, wanted: Targets) -> dict[str, Tensor]:
    """Scalar parts of the loss: ``image``, ``image_class``, ``cell``, ``cell_class``."""
    kinds = answer.cells.shape[1] - 1
    share = cell_shares(wanted["mask"], kinds, answer.cells.shape[2:])
    known = wanted["has_mask"]
    named = known & ~torch.isnan(wanted["classes"]).any(1)
    is_known = ~torch.isnan(wanted["classes"])
    return {
        "image": functional.binary_cross_entropy_with_logits(answer.score, wanted["bad"]),
        "image_class": _CLASS_WEIGHT
        * mean_where(
            functional.binary_cross_entropy_with_logits(
                answer.class_logits, wanted["classes"].nan_to_num(), reduction="none"
            ),
            is_known,
        ),
        "cell": cell_loss(answer.cells[:, :1], share[:, :1], known),
        "cell_class": _CLASS_WEIGHT * cell_loss(answer.cells[:, 1:], share[:, 1:], named),
    }
