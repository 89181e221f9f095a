"""Feature maps of several strides brought together at the finest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 96
"""Channels of the fused map."""


class Fusion(nn.Module):
    """Each map projected, brought to the size of the finest, summed and mixed."""

    def __init__(self, channels: Sequence[int]) -> None:
        """Take maps of so many channels, finest first."""
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(each, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH))
            for each in channels
        )
        self.mix = nn.Sequential(nn.ReLU(), *separable())

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(N, WIDTH, h, w) in the size of the first of the maps."""
        size = maps[0].shape[2:]
        projected = [lateral(found) for lateral, found in zip(self.laterals, maps, strict=True)]
        coarser = [
            functional.interpolate(found, size=size, mode="bilinear") for found in projected[1:]
        ]
        fused = torch.stack([projected[0], *coarser]).sum(0) if coarser else projected[0]
        mixed: Tensor = self.mix(fused)
        return mixed


def separable() -> tuple[nn.Module, ...]:
    """A depthwise separable convolution of the fused map (Howard et al., "MobileNets", 2017)."""
    return (
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False),
        nn.Conv2d(WIDTH, WIDTH, 1, bias=False),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
    )
