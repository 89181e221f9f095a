"""What a trained model leaves behind: weights, contract, history, pictures."""

from __future__ import annotations

import json
from typing import Any

import torch

from inspection.contract import Contract
from inspection.statistics import STATS_VERSION
from store import artifacts
from store.artifacts import Artifact
from store.hashing import canonical_json
from store.keys import LineKey
from store.root import Store
from vision_assets.learning.registry import task
from vision_assets.learning.trained import CONTRACT, WEIGHTS, pack
from vision_assets.training.device import device_name, trainer_options
from vision_assets.training.feed import Feed
from vision_assets.training.module import LearningModule
from vision_assets.training.pictures import curves, sheet
from vision_assets.training.request import KIND, Request


def publish(
    store: Store, line: LineKey, request: Request, module: LearningModule, feed: Feed
) -> Artifact:
    """Write the files of a finished training and, last, its manifest."""
    summary = _summary(request, module, feed)
    history = {**summary, "inputs": request.inputs, "rows": module.rows}
    contents = {
        WEIGHTS: pack(module.network.state_dict(), module.network.backbone.spec),
        CONTRACT: canonical_json(contract(request, module, feed).model_dump(mode="json")),
        "history.json": json.dumps(history, indent=1).encode(),
    }
    if module.learns:
        contents["curves.png"] = curves(module.rows, module.kept_epoch)
        contents["augmented.png"] = sheet(feed.samples, feed.train)
    files = {
        name: artifacts.write_file(store, line, KIND, request.name, name, data)
        for name, data in contents.items()
    }
    model = Artifact(KIND, request.name, request.inputs, files, summary)
    return artifacts.publish(store, line, model)


@torch.inference_mode()
def contract(request: Request, module: LearningModule, feed: Feed) -> Contract:
    """The contract of the network: its sizes are read off its answer to a blank frame."""
    spec = feed.spec
    graph = task(request.settings.task).graph(module.network)
    graph.eval()
    blank = torch.zeros(1, spec.height, spec.width, spec.channels, dtype=torch.uint8)
    found = dict(zip(graph.output_names, graph(blank), strict=True))
    segments, boxes = found.get("segments"), found.get("boxes")
    return Contract(
        task=request.settings.task,
        classes=feed.classes,
        input=spec,
        embedding_size=found["embedding"].shape[1],
        map_height=found["map"].shape[1],
        map_width=found["map"].shape[2],
        stats_version=STATS_VERSION,
        segments=None if segments is None else tuple(segments.shape[2:]),
        boxes=None if boxes is None else boxes.shape[1],
    )


def _summary(request: Request, module: LearningModule, feed: Feed) -> dict[str, Any]:
    """Figures for people."""
    spec = module.network.backbone.spec
    kept = module.rows[module.kept_epoch - 1] if module.rows else {}
    return {
        "epochs": len(module.rows),
        "kept_epoch": module.kept_epoch,
        "tune_loss": kept.get("tune_loss"),
        "tune_auroc": kept.get("tune_auroc"),
        "train_frames": len(feed.train),
        "tune_frames": len(feed.tune),
        "samples_per_epoch": feed.length,
        "parameters": sum(value.numel() for value in module.network.parameters()),
        "backbone": spec.config["model_type"],
        "pretrained": spec.is_pretrained,
        "device": device_name(),
        "precision": trainer_options()["precision"],
        "threads": request.threads,
        "torch": torch.__version__,
        "warnings": list(request.warnings),
    }
