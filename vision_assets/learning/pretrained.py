"""Pretrained backbones: loading one from its local folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoModel
from transformers.utils import logging

from vision_assets.learning.backbone import Backbone, BackboneSpec, plain


def normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by channel, of pixels in [0, 1], that the backbone expects."""
    path = folder / "preprocessor_config.json"
    values = json.loads(path.read_text()) if path.is_file() else {}
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return (
        tuple(values.get("image_mean", imagenet[0])),
        tuple(values.get("image_std", imagenet[1])),
    )


def load(folder: Path, height: int, width: int) -> Backbone:
    """The backbone of a local folder with its weights.

    Raises:
        InvalidInput: when its inner states are no feature maps, or making it fast would change what
            it computes.
    """
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = AutoModel.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    mean, std = normalisation(folder)
    spec = BackboneSpec(config=plain(model.config), is_pretrained=True, mean=mean, std=std)
    return Backbone(model, spec, height, width)
