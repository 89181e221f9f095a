from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from transformers import MobileNetV2Config, MobileNetV2Model

from vision_assets.config import TrainingSettings
from vision_assets.learning import backbone, pretrained
from vision_assets.learning.classification.network import CellNetwork
from vision_assets.training.module import move_average, parameter_groups, rate

SETTINGS = TrainingSettings(learning_rate=0.01, weight_decay=0.1)


@pytest.mark.parametrize("total", [1, 2, 10, 1000])
def test_the_rate_rises_once_and_falls(total: int) -> None:
    rates = [rate(step, total) for step in range(total + 3)]
    top = rates.index(max(rates))
    assert max(rates) == 1
    assert min(rates) > 0
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_from_scratch_all_weights_learn_at_one_rate_and_only_matrices_decay() -> None:
    network = CellNetwork(backbone.build(backbone.from_scratch(1), 64, 64), 2)
    groups = parameter_groups(network, SETTINGS)
    assert {group["lr"] for group in groups} == {0.01}
    for group in groups:
        flat = {parameter.ndim == 1 for parameter in group["params"]}
        assert flat == {group["weight_decay"] == 0}
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_pretrained_weights_learn_slower_and_frozen_ones_not_at_all(tmp_path: Path) -> None:
    torch.manual_seed(0)
    MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.35)).save_pretrained(tmp_path)
    network = CellNetwork(pretrained.load(tmp_path, 64, 64), 2)
    rates = {
        id(parameter): group["lr"]
        for group in parameter_groups(network, SETTINGS)
        for parameter in group["params"]
    }
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            assert id(parameter) not in rates
        else:
            assert rates[id(parameter)] == (0.002 if name.startswith("backbone") else 0.01)


def test_the_average_follows_weights_and_statistics() -> None:
    """The first value is taken over; after n moves the share of the newest is 9 / (10 + n)."""
    network = nn.BatchNorm1d(1)
    average = AveragedModel(network, multi_avg_fn=move_average, use_buffers=True)
    for value in (1.0, 2.0, 4.0):
        nn.init.constant_(network.weight, value)
        assert network.running_mean is not None
        nn.init.constant_(network.running_mean, value)
        average.update_parameters(network)
    second = 1 + (2 - 1) * 9 / 11
    third = second + (4 - second) * 9 / 12
    assert average.get_parameter("module.weight").item() == pytest.approx(third)
    assert average.get_buffer("module.running_mean").item() == pytest.approx(third)
