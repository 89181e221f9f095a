from __future__ import annotations

import torch

from vision_assets.learning import backbone
from vision_assets.learning.classification.network import CellNetwork


def _network(channels: int = 1) -> CellNetwork:
    torch.manual_seed(0)
    body = backbone.build(backbone.from_scratch(channels), 64, 96)
    return CellNetwork(body, 2).train(False)


@torch.no_grad()
def test_shapes() -> None:
    answer = _network(3)(torch.zeros(2, 64, 96, 3, dtype=torch.uint8))
    assert answer.score.shape == (2,)
    assert answer.class_logits.shape == (2, 2)
    assert answer.embedding.shape == (2, 192)
    assert answer.cells.shape == (2, 3, 8, 12)


@torch.no_grad()
def test_the_score_is_that_of_the_worst_cell() -> None:
    answer = _network()(torch.randint(0, 256, (3, 64, 96, 1), dtype=torch.uint8))
    assert torch.equal(answer.score, answer.cells[:, 0].flatten(1).amax(1))
    assert torch.equal(answer.class_logits, answer.cells[:, 1:].flatten(2).amax(2))


@torch.no_grad()
def test_more_cells_average_over_more_of_the_worst() -> None:
    answer = _network()(torch.randint(0, 256, (1, 320, 320, 1), dtype=torch.uint8))
    worst = answer.cells[:, 0].flatten(1).topk(5, 1).values.mean(1)
    torch.testing.assert_close(answer.score, worst)
