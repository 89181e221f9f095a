"""MobileNetV3-small at 224 x 224 with random weights, as a bundle's graph; the frames it is sent.

Howard et al., "Searching for MobileNetV3" (2019), table 2. Weights do not matter for speed.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.models.mobilenet import CELLS, CLASSES, SIDE_PX, encode, export, render
from inspection.contract import Contract, InputSpec
from inspection.decision import Rule, Thresholds
from inspection.statistics import STATS_VERSION

FEATURES = 576
CAMERA = (480, 640)
FRAMES = 32

CONTRACT = Contract(
    task="classification",
    classes=CLASSES,
    input=InputSpec(channels=3, height=SIDE_PX, width=SIDE_PX),
    embedding_size=FEATURES,
    map_height=CELLS,
    map_width=CELLS,
    stats_version=STATS_VERSION,
)
# Of the frames below two or three are REVIEW, the others PASS: a line that runs well.
RULE = Rule(default=Thresholds(temperature=1.0, pass_below=0.4935, reject_from=0.6))

_BLOCKS = (  # kernel, channels in, expanded, out, squeeze and excite, hard swish, stride
    (3, 16, 16, 16, True, False, 2),
    (3, 16, 72, 24, False, False, 2),
    (3, 24, 88, 24, False, False, 1),
    (5, 24, 96, 40, True, True, 2),
    (5, 40, 240, 40, True, True, 1),
    (5, 40, 240, 40, True, True, 1),
    (5, 40, 120, 48, True, True, 1),
    (5, 48, 144, 48, True, True, 1),
    (5, 48, 288, 96, True, True, 2),
    (5, 96, 576, 96, True, True, 1),
    (5, 96, 576, 96, True, True, 1),
)


def _convolution(
    channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out),
    ]


class _Excite(nn.Module):
    """Squeeze and excite: scales each channel by a weight made of all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, (channels // 4 + 4) // 8 * 8)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, planes: Tensor) -> Tensor:
        weighed: Tensor = planes * self.weigh(planes)
        return weighed


class _Block(nn.Module):
    """Inverted residual: expand, filter each channel, project; made of a row of `_BLOCKS`."""

    def __init__(self, row: tuple[int, int, int, int, bool, bool, int]) -> None:
        super().__init__()
        kernel, channels, wide, out, excite, swish, stride = row
        act: type[nn.Module] = nn.Hardswish if swish else nn.ReLU
        parts = [*_convolution(channels, wide, 1), act()] if wide != channels else []
        parts += [*_convolution(wide, wide, kernel, stride=stride, groups=wide), act()]
        parts += [_Excite(wide)] if excite else []
        self.parts = nn.Sequential(*parts, *_convolution(wide, out, 1))
        self.is_residual = stride == 1 and channels == out

    def forward(self, planes: Tensor) -> Tensor:
        found: Tensor = self.parts(planes)
        return found + planes if self.is_residual else found


class _Graph(nn.Module):
    """uint8 (N, 224, 224, 3) to the four outputs of a bundle."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [_Block(row) for row in _BLOCKS]
        stem = [*_convolution(3, 16, 3, stride=2), nn.Hardswish()]
        top = [*_convolution(96, FEATURES, 1), nn.Hardswish()]
        self.backbone = nn.Sequential(*stem, *blocks, *top)
        self.head = nn.Sequential(
            nn.Linear(FEATURES, 1024), nn.Hardswish(), nn.Linear(1024, 1 + len(CLASSES))
        )
        self.cells = nn.Conv2d(FEATURES, 1, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features = self.backbone(pixels.float().permute(0, 3, 1, 2) / 127.5 - 1)
        embedding = features.mean((2, 3))
        logits = self.head(embedding)
        return (
            logits[:, 0],
            logits[:, 1:].sigmoid(),
            embedding,
            self.cells(features)[:, 0].sigmoid(),
        )


def write_graph(folder: Path) -> Path:
    """Export the graph to ``folder/graph.onnx``."""
    torch.manual_seed(0)
    return export(_normalised(_Graph()), folder)


def _normalised(graph: _Graph) -> _Graph:
    """With the statistics of a few frames in its normalisations, as a trained one would have.

    Without them each layer shrinks what it gets, all frames look alike, and numbers so small that
    the processor takes longer for them distort the figures.
    """
    for module in graph.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    frames = [cv2.resize(render(*CAMERA, seed), (SIDE_PX, SIDE_PX)) for seed in range(8)]
    with torch.no_grad():
        graph.train()(torch.from_numpy(np.stack(frames)))
    return graph.eval()


def write_frames(folder: Path) -> None:
    """Write ``folder/jpeg`` (640 x 480, quality 90) and ``folder/raw`` (224 x 224 x 3 uint8)."""
    for kind in ("jpeg", "raw"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for seed in range(FRAMES):
        frame = render(*CAMERA, seed)
        (folder / "jpeg" / f"{seed:02d}.jpg").write_bytes(encode(frame))
        small = cv2.resize(frame, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        (folder / "raw" / f"{seed:02d}.raw").write_bytes(small.tobytes())
