from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    EfficientNetConfig,
    MobileNetV2Config,
    PreTrainedConfig,
    PreTrainedModel,
    RegNetConfig,
    ResNetConfig,
)

from vision_assets.learning.folding import fold_batch_norm, pad_in_convolutions

CONFIGS = {
    "mobilenet": MobileNetV2Config(depth_multiplier=0.35, tf_padding=True),
    "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1]),
    "regnet": RegNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], groups_width=4),
    "efficientnet": EfficientNetConfig(
        width_coefficient=0.2, depth_coefficient=0.2, hidden_dim=256
    ),
}


def _shaken(config: PreTrainedConfig) -> PreTrainedModel:
    """A model whose batch norms do something."""
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                assert values is not None
                nn.init.uniform_(values, 0.5, 1.5)
    model.train(False)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_folding_keeps_outputs_and_leaves_no_batch_norm(name: str) -> None:
    model = _shaken(CONFIGS[name])
    pixels = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        before = model(pixels).last_hidden_state
        fold_batch_norm(model)
        after = model(pixels).last_hidden_state
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))


def test_folded_convolutions_can_learn_their_bias() -> None:
    model = _shaken(CONFIGS["resnet"])
    fold_batch_norm(model)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_padding_inside_convolutions_gives_the_same_bits() -> None:
    model = _shaken(CONFIGS["mobilenet"])
    pixels = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        before = model(pixels).last_hidden_state
        model.config.tf_padding = False
        pad_in_convolutions(model)
        after = model(pixels).last_hidden_state
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)
