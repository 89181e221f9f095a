"""Coloured frames and a small torch network that was really trained on them; seeded, seconds.

Good frames carry a green spot, ``rust`` a red one, ``burn`` a dark one, each of any strength down
to none: so scores lie everywhere, also at the thresholds, and depend on colour.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inspection.contract import Contract, InputSpec
from inspection.decision import Rule, Thresholds
from inspection.outputs import Outputs
from inspection.preprocess import prepare
from inspection.statistics import STATS_VERSION

CLASSES = ("rust", "burn")
SIZE_PX = 32
WIDTH = 8
CONTRACT = Contract(
    task="classification",
    classes=CLASSES,
    input=InputSpec(channels=3, height=SIZE_PX, width=SIZE_PX),
    embedding_size=WIDTH,
    map_height=SIZE_PX // 4,
    map_width=SIZE_PX // 4,
    stats_version=STATS_VERSION,
)
RULE = Rule(default=Thresholds(temperature=1.0, pass_below=0.35, reject_from=0.65))

_COLOURS = {"good": (0.2, 0.9, 0.2), "rust": (0.9, 0.2, 0.2), "burn": (0.05, 0.05, 0.05)}
_STEPS = 60


@dataclass(frozen=True)
class Frame:
    """One frame as PNG bytes with what it shows: ``good`` or a class."""

    frame_id: str
    data: bytes
    kind: str


class SpotNet(nn.Module):
    """Pixels (N, 32, 32, 3) uint8 to the four outputs of the contract."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.45, 0.5, 0.45]))
        self.register_buffer("std", torch.tensor([0.2, 0.25, 0.2]))
        self.first = nn.Conv2d(3, WIDTH, 3, 2, 1)
        self.normal = nn.BatchNorm2d(WIDTH)
        self.second = nn.Conv2d(WIDTH, WIDTH, 3, 2, 1)
        self.third = nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)
        self.head = nn.Conv2d(WIDTH, 1 + len(CLASSES), 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Score (N,), class scores (N, 2), embedding (N, 8), map (N, 8, 8)."""
        return self.answer(pixels.float())

    def answer(self, real: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The outputs for (N, 32, 32, 3) float32 in [0, 255]."""
        planes = ((real / 255 - self.mean) / self.std).permute(0, 3, 1, 2)
        inner = functional.relu6(self.normal(self.first(planes)))
        inner = functional.relu6(self.second(inner))
        inner = inner + functional.relu6(self.third(inner))
        cells = self.head(inner)
        return (
            cells[:, 0].flatten(1).amax(1),
            cells[:, 1:].flatten(2).amax(2).sigmoid(),
            inner.mean((2, 3)),
            cells[:, 0].sigmoid(),
        )


class FlatterNet(SpotNet):
    """The same weights behind a normalisation that is off by 5 %."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `SpotNet.forward`."""
        centre = 255 * self.mean
        return self.answer((pixels.float() - centre) / 1.05 + centre)


class SwappedNet(SpotNet):
    """The same weights fed with blue, green, red."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `SpotNet.forward`."""
        return self.answer(pixels.float().flip(3))


class TorchEngine:
    """A module as an engine: what the exported graphs are compared with."""

    name, graph, build = "torch", "weights", "torch"

    def __init__(self, module: nn.Module) -> None:
        self._module = module.eval()

    def run(self, pixels: NDArray[np.uint8]) -> Outputs:
        """As `Engine.run`."""
        with torch.inference_mode():
            found = self._module(torch.from_numpy(pixels))
        return Outputs(*(part.numpy() for part in found))


def frames(number: int, seed: int) -> list[Frame]:
    """Frames of 48 x 48 pixels; half of them good."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(number):
        kind = ("good", CLASSES[index // 2 % 2])[index % 2]
        found.append(Frame(f"spot-{seed}-{index:04d}", _png(rng, kind), kind))
    return found


def _png(rng: np.random.Generator, kind: str) -> bytes:
    pixels = rng.normal(0.5, 0.08, (48, 48, 3))
    strength = rng.uniform(0.0, 0.5)
    row, column = rng.integers(6, 36, 2)
    spot = pixels[row : row + 6, column : column + 6]
    spot += strength * (np.array(_COLOURS[kind]) - spot)
    # cv2 writes blue, green, red.
    image = (pixels[..., ::-1].clip(0, 1) * 255).round().astype(np.uint8)
    return bytes(cv2.imencode(".png", image)[1])


def trained(kind: type[SpotNet] = SpotNet) -> SpotNet:
    """A network with the weights that training gave, whatever its kind."""
    net = kind()
    net.load_state_dict(_weights())
    return net.eval()


@functools.cache
def _weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    net = SpotNet()
    shown = frames(128, seed=0)
    pixels = torch.from_numpy(np.stack([prepare(f.data, CONTRACT.input).pixels for f in shown]))
    wanted = torch.tensor([[float(f.kind == name) for name in CLASSES] for f in shown])
    optimiser = torch.optim.Adam(net.parameters(), 0.02)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network is slower with more
    for _ in range(_STEPS):
        score, classes, _, _ = net(pixels)
        loss = functional.binary_cross_entropy_with_logits(score, wanted.amax(1))
        loss = loss + functional.binary_cross_entropy(classes, wanted)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    torch.set_num_threads(threads)
    return net.state_dict()
