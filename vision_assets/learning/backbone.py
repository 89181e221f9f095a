"""Feature maps from any vision model of `transformers`, pretrained or from scratch."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel, ResNetConfig

from store.errors import InvalidInput
from vision_assets.learning.folding import fold_batch_norm, pad_in_convolutions

# Finer maps cost more than they find: a cell of 8 pixels shows a defect of 2.
_FINEST_STRIDE = 8
_MOST_EXTRA_TOKENS = 8
_MERGES = (1, 2, 4, 8, 16)
_FOLDING_ERROR = 0.01


class BackboneSpec(BaseModel):
    """All it takes to build a backbone again without the place it came from, but its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: dict[str, Any]
    is_pretrained: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Backbone(nn.Module):
    """Pixels to feature maps.

    Attributes:
        strides: Pixels a cell of each map, finest first.
        channels: Of each map.
    """

    def __init__(self, model: PreTrainedModel, spec: BackboneSpec, height: int, width: int) -> None:
        """Prepare `model` for frames of that size.

        A pretrained model is folded, keeps its statistics, and what feeds only maps finer than 8
        pixels a cell is frozen: edges and textures are the same in a factory, and those layers
        take half of a training step.
        """
        super().__init__()
        self.model = model
        self.spec = spec
        self._asks_for_interpolation = (
            "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        )
        scale = [1 / (255 * std) for std in spec.std]
        shift = [-mean / std for mean, std in zip(spec.mean, spec.std, strict=True)]
        self.scale = nn.Buffer(torch.tensor(scale), persistent=False)
        self.shift = nn.Buffer(torch.tensor(shift), persistent=False)
        was_training = self.training
        self.train(False)
        if spec.is_pretrained:
            self._make_fast(height, width)
        self._choose_maps(height, width)
        self.train(was_training)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Maps (N, channels, h, w) float32, finest first, of pixels (N, height, width, c) uint8.

        One grey channel is spread over the channels of the model by its normalisation.
        """
        maps = self._all_maps(pixels)
        return [maps[index] for index in self._chosen]

    def train(self, mode: bool = True) -> Backbone:
        """Switch to training; a pretrained model keeps its statistics."""
        super().train(mode)
        if self.spec.is_pretrained:
            self.model.train(False)
        return self

    def _all_maps(self, pixels: Tensor) -> list[Tensor]:
        scaled = pixels.float() * self.scale + self.shift
        height, width = pixels.shape[1:3]
        options = {"interpolate_pos_encoding": True} if self._asks_for_interpolation else {}
        answer = self.model(scaled.permute(0, 3, 1, 2), output_hidden_states=True, **options)
        states = [*(answer.hidden_states or ()), answer.last_hidden_state]
        return [self._as_map(state, height, width) for state in states]

    def _as_map(self, state: Tensor, height: int, width: int) -> Tensor:
        """A map is itself; tokens (N, T, C) are laid out in rows, leading extra ones dropped."""
        if state.ndim == 4:
            return state
        patch = getattr(self.model.config, "patch_size", None)
        sides = [patch * merge for merge in _MERGES] if isinstance(patch, int) else []
        for side in sides:
            rows, columns = height // side, width // side
            extra = state.shape[1] - rows * columns
            if 0 <= extra <= _MOST_EXTRA_TOKENS:
                return state[:, extra:].transpose(1, 2).reshape(len(state), -1, rows, columns)
        raise InvalidInput(
            f"backbone {self.model.config.model_type}: its inner states are no feature maps "
            f"(shape {tuple(state.shape)}); choose a convolutional one, or a transformer with "
            "square patches"
        )

    @torch.no_grad()
    def _make_fast(self, height: int, width: int) -> None:
        ramp = torch.arange(height * width * 3, dtype=torch.int64) % 251
        probe = ramp.to(torch.uint8).reshape(1, height, width, 3)
        before = self._all_maps(probe)[-1]
        fold_batch_norm(self.model)
        if getattr(self.model.config, "tf_padding", False):
            self.model.config.tf_padding = False
            pad_in_convolutions(self.model)
        error = float((self._all_maps(probe)[-1] - before).abs().max())
        if error > _FOLDING_ERROR * float(before.abs().max()):
            raise InvalidInput(
                f"backbone {self.model.config.model_type}: folding its batch norms changes its "
                f"features by up to {error:.3g}; choose another architecture"
            )

    @torch.enable_grad()
    def _choose_maps(self, height: int, width: int) -> None:
        """Take the last map of every stride from 8 on; freeze what feeds only finer ones."""
        maps = self._all_maps(torch.zeros(1, height, width, len(self.spec.mean), dtype=torch.uint8))
        last = {round(height / found.shape[2]): index for index, found in enumerate(maps)}
        strides = sorted(stride for stride in last if stride >= _FINEST_STRIDE)
        finer = [stride for stride in last if stride < _FINEST_STRIDE]
        self.strides = strides or [max(finer)]
        self._chosen = [last[stride] for stride in self.strides]
        self.channels = [maps[index].shape[1] for index in self._chosen]
        if self.spec.is_pretrained and strides and finer:
            _freeze(self.model, maps[last[max(finer)]])


def _freeze(model: nn.Module, output: Tensor) -> None:
    """Freeze the parameters that `output` was computed from."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.requires_grad_(gradient is None)


def build(spec: BackboneSpec, height: int, width: int) -> Backbone:
    """A backbone with fresh weights; a trained network's are loaded into it afterwards."""
    options = dict(spec.config)
    config = AutoConfig.for_model(options.pop("model_type"), **options)
    model: PreTrainedModel = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    return Backbone(model, spec, height, width)


def from_scratch(channels: int) -> BackboneSpec:
    """A small residual network that learns from some hundred frames in minutes on a CPU."""
    config = ResNetConfig(
        num_channels=channels,
        embedding_size=32,
        hidden_sizes=[32, 64, 128, 192],
        depths=[1, 1, 1, 1],
        layer_type="basic",
    )
    half = (0.5,) * channels
    return BackboneSpec(
        config=plain(config), is_pretrained=False, mean=half, std=(0.25,) * channels
    )


def plain(config: Any) -> dict[str, Any]:  # noqa: ANN401 - transformers is untyped
    """A configuration of `transformers` as JSON values, without the names of its old classes."""
    values: dict[str, Any] = config.to_dict()
    return {name: value for name, value in values.items() if name not in ("id2label", "label2id")}
