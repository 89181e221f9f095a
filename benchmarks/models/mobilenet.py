"""A bundle of the size that lines run, for benchmarks: MobileNetV2 with random weights."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import MobileNetV2Config, MobileNetV2Model

from inspection.contract import Contract, InputSpec
from inspection.decision import Rule, Thresholds
from inspection.outputs import OUTPUT_NAMES
from inspection.statistics import STATS_VERSION

SIDE_PX = 224
CLASSES = ("scratch", "pit", "stain", "crack", "chip")
CELLS = 7
CONTRACT = Contract(
    task="classification",
    classes=CLASSES,
    input=InputSpec(channels=3, height=SIDE_PX, width=SIDE_PX),
    embedding_size=1280,
    map_height=CELLS,
    map_width=CELLS,
    stats_version=STATS_VERSION,
)
RULE = Rule(default=Thresholds(temperature=1.0, pass_below=0.3, reject_from=0.7))


class _Graph(nn.Module):
    """uint8 (N, 224, 224, 3) to the four outputs of a bundle."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = MobileNetV2Model(MobileNetV2Config(), add_pooling_layer=False)
        self.head = nn.Conv2d(1280, 1 + len(CLASSES), 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        planes = pixels.float().permute(0, 3, 1, 2) / 127.5 - 1
        features = self.backbone(planes).last_hidden_state
        cells = self.head(features)
        score = cells[:, 0].amax((1, 2))
        class_scores = cells[:, 1:].amax((2, 3)).sigmoid()
        return score, class_scores, features.mean((2, 3)), cells[:, 0].sigmoid()


def write_graph(folder: Path) -> Path:
    """Export the graph to ``folder/graph.onnx``."""
    torch.manual_seed(0)
    return export(_Graph().eval(), folder)


def export(graph: nn.Module, folder: Path) -> Path:
    """Export a graph on frames of `SIDE_PX` to ``folder/graph.onnx`` (opset 20, any N)."""
    path = folder / "graph.onnx"
    example = torch.zeros((2, SIDE_PX, SIDE_PX, 3), dtype=torch.uint8)
    with contextlib.redirect_stdout(io.StringIO()):
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            opset_version=20,
            input_names=["pixels"],
            output_names=list(OUTPUT_NAMES),
            dynamic_shapes=({0: torch.export.Dim("N")},),
        )
    assert program is not None
    program.save(path)
    return path


def render(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """A frame (height, width, 3) uint8: brushed texture, shading and a few bright marks."""
    rng = np.random.default_rng(seed)
    texture = cv2.blur(rng.normal(128, 60, (height, width)), (31, 1))
    shading = np.linspace(-30, 30, width)[None] + rng.normal(0, 4, (height, width))
    frame = np.repeat((texture + shading)[..., None], 3, axis=2)
    for _ in range(4):
        y, x = rng.integers(0, height - 20), rng.integers(0, width - 40)
        frame[y : y + 3, x : x + 40] += 60
    return frame.clip(0, 255).astype(np.uint8)


def encode(frame: NDArray[np.uint8]) -> bytes:
    """The frame as JPEG, quality 90."""
    ok, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert ok
    return data.tobytes()
