from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    ConvNextV2Config,
    Dinov2Config,
    MobileNetV2Config,
    PreTrainedConfig,
    ResNetConfig,
    SwinConfig,
    ViTConfig,
)

from store.errors import InvalidInput
from vision_assets.learning import backbone, pretrained
from vision_assets.learning.backbone import Backbone

STAGES: dict[str, Any] = {"depths": [1] * 4, "num_heads": [1] * 4, "window_size": 2}
SMALL: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
CONFIGS: dict[str, tuple[PreTrainedConfig, list[int]]] = {
    "mobilenet": (MobileNetV2Config(depth_multiplier=0.35, tf_padding=True), [8, 16, 32]),
    "resnet": (ResNetConfig(embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4), [8, 16, 32]),
    "convnext": (ConvNextV2Config(hidden_sizes=[8] * 4, depths=[1] * 4), [8, 16, 32]),
    "swin": (SwinConfig(embed_dim=8, **STAGES), [8, 16, 32]),
    "vit": (ViTConfig(**SMALL, image_size=224, patch_size=16), [16]),
    "dinov2": (Dinov2Config(**SMALL, image_size=56, patch_size=14), [16]),
}


def _folder(config: PreTrainedConfig, folder: Path) -> Path:
    torch.manual_seed(0)
    model = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_any_family_gives_maps(name: str, tmp_path: Path) -> None:
    config, strides = CONFIGS[name]
    found = pretrained.load(_folder(config, tmp_path), 64, 96)
    maps = found(torch.zeros(2, 64, 96, 3, dtype=torch.uint8))
    assert found.strides == strides
    assert [m.shape[:2] for m in maps] == [(2, channels) for channels in found.channels]
    assert maps[0].shape[2:] == (64 // strides[0], 96 // strides[0])


def test_states_that_are_no_maps_are_refused(tmp_path: Path) -> None:
    found = pretrained.load(_folder(CONFIGS["vit"][0], tmp_path), 64, 64)
    found.model.config.patch_size = (16, 16)
    with pytest.raises(InvalidInput, match="inner states are no feature maps"):
        found(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))


@pytest.fixture
def mobilenet(tmp_path: Path) -> Backbone:
    return pretrained.load(_folder(CONFIGS["mobilenet"][0], tmp_path), 64, 64)


def test_what_feeds_only_fine_maps_is_frozen(mobilenet: Backbone) -> None:
    frozen = {name for name, p in mobilenet.model.named_parameters() if not p.requires_grad}
    assert any(name.startswith("conv_stem") for name in frozen)
    assert any(name.startswith("layer.1.") for name in frozen)
    assert not any(name.startswith(("layer.2.", "layer.3.", "conv_1x1")) for name in frozen)


def test_a_pretrained_model_stays_in_eval_mode(mobilenet: Backbone) -> None:
    mobilenet.train()
    assert mobilenet.training
    assert not mobilenet.model.training


def test_from_scratch_everything_learns() -> None:
    found = backbone.build(backbone.from_scratch(1), 64, 64).train()
    assert found.model.training
    assert all(parameter.requires_grad for parameter in found.parameters())


def test_grey_equals_grey_in_three_channels(mobilenet: Backbone) -> None:
    grey = torch.randint(0, 256, (1, 64, 64, 1), dtype=torch.uint8)
    with torch.no_grad():
        one, three = mobilenet(grey), mobilenet(grey.expand(-1, -1, -1, 3))
    assert all(torch.equal(a, b) for a, b in zip(one, three, strict=True))


def test_built_again_it_takes_the_same_weights(mobilenet: Backbone) -> None:
    again = backbone.build(mobilenet.spec, 64, 64)
    again.load_state_dict(mobilenet.state_dict())
    pixels = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(again.train(False)(pixels)[-1], mobilenet.train(False)(pixels)[-1])


def test_normalisation_is_the_folders(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}'
    )
    assert pretrained.normalisation(tmp_path) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
