from __future__ import annotations

import numpy as np
import torch
from torch import nn

from inspection.outputs import OUTPUT_NAMES, Outputs
from vision_assets.learning import backbone
from vision_assets.learning.classification.task import TASK
from vision_assets.learning.task import Network, Sample


def _network() -> Network:
    torch.manual_seed(0)
    return TASK.network(backbone.build(backbone.from_scratch(1), 64, 64), ["a", "b"])


def _graph() -> nn.Module:
    return TASK.graph(_network()).train(False)


@torch.no_grad()
def test_the_graph_gives_what_the_contract_says() -> None:
    found = _graph()(torch.randint(0, 256, (3, 64, 64, 1), dtype=torch.uint8))
    assert len(found) == len(OUTPUT_NAMES)
    outputs = Outputs(*(value.numpy() for value in found))
    assert outputs.score.shape == (3,)
    assert outputs.class_scores.shape == (3, 2)
    assert outputs.map.shape == (3, 8, 8)
    for share in (outputs.class_scores, outputs.map):
        assert 0 <= share.min() <= share.max() <= 1
    assert all(value.dtype == torch.float32 for value in found)


@torch.no_grad()
def test_a_frame_gets_the_same_answer_in_any_company() -> None:
    graph = _graph()
    pixels = torch.randint(0, 256, (4, 64, 64, 1), dtype=torch.uint8)
    torch.testing.assert_close(graph(pixels)[0][2:3], graph(pixels[2:3])[0], rtol=1e-5, atol=1e-5)


def test_every_part_of_the_loss_teaches_the_network() -> None:
    network = _network().train()
    random = np.random.default_rng(0)
    mask = np.zeros((64, 64), np.uint8)
    mask[8:16, 8:16] = 1
    pixels = random.integers(0, 256, (64, 64, 1)).astype(np.uint8)
    samples = [Sample(pixels, True, ("a",), mask), Sample(pixels, False, (), mask * 0)]
    batch = torch.from_numpy(np.stack([sample.pixels for sample in samples]))
    parts = TASK.loss(network(batch), TASK.targets(samples, ["a", "b"]))
    for name, part in parts.items():
        (gradient,) = torch.autograd.grad(
            part,
            [network.backbone.model.get_parameter("embedder.embedder.convolution.weight")],
            retain_graph=True,
        )
        assert float(gradient.abs().sum()) > 0, name
