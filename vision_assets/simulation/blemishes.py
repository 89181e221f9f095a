"""What production leaves on good parts and bad ones alike, and nobody would reject.

They look like defects to whoever does not look closely: dust like pits, lint like cracks, tool
marks like scratches, films of coolant like stains, reflections like all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vision_assets.simulation.blanks import Blank
from vision_assets.simulation.marks import Canvas, Mark, Points, walk
from vision_assets.simulation.textures import Plane

PLACES = 12
"""How many places on the face `draw` wants."""

_SOFT_REACH = 2.6
"""Soft blobs are cut off at this many sigmas, where 3 % of them is left."""


def draw(rng: Generator, blank: Blank, places: Points, centre: tuple[float, float]) -> list[Mark]:
    """The blemishes of one frame.

    Args:
        rng: Decides what there is.
        blank: The face they are on.
        places: (PLACES, 2) points on the face, in the frame.
        centre: Of the part, in the frame; tool marks run around it or along x.
    """
    marks = [_dust(rng, place) for place in places[:7][: rng.poisson(3)]]
    if rng.random() < 0.3:
        marks.append(_lint(rng, places[7]))
    if rng.random() < 0.5:
        marks.append(_tool_mark(rng, places[8], centre if blank.is_round else None))
    if rng.random() < 0.3:
        marks.append(_soft(rng, places[9], rng.uniform(-0.12, -0.05)))
    if rng.random() < 0.4:
        marks.append(_soft(rng, places[10], rng.uniform(0.08, 0.22) * blank.gloss))
    return marks


def _dust(rng: Generator, place: Points) -> Mark:
    """A speck of a pixel or two, bright or dark."""
    canvas = Canvas(place[None], 4)
    x, y = canvas.grid((float(place[0]), float(place[1])))
    speck = np.exp(-(x**2 + y**2) / (2 * rng.uniform(0.5, 0.9) ** 2))
    height = rng.choice([-1.0, 1.0]) * rng.uniform(25, 60)
    return _harmless(canvas, np.ones_like(speck), np.float32(height) * speck)


def _lint(rng: Generator, place: Points) -> Mark:
    """A short faint fibre."""
    path = place + walk(rng, rng.uniform(14, 34), 3.0, bend=4.0, kink=0)
    canvas = Canvas(path, 4)
    pieces = len(path) - 1
    line = canvas.stroke(path, np.full(pieces, 1.2, np.float32), np.ones(pieces, np.float32))
    height = rng.choice([-1.0, 1.0]) * rng.uniform(10, 18)
    return _harmless(canvas, np.ones_like(line), np.float32(height) * line)


def _tool_mark(rng: Generator, place: Points, centre: tuple[float, float] | None) -> Mark:
    """A faint line that follows the marks of the tool: around the centre, or along x."""
    length = rng.uniform(80, 260)
    if centre is None:
        steps = np.linspace(-length / 2, length / 2, 24)
        path = place + np.stack([steps, 0 * steps], 1)
    else:
        x, y = place[0] - centre[0], place[1] - centre[1]
        radius, start = float(np.hypot(x, y)), float(np.arctan2(y, x))
        angle = start + np.linspace(-0.5, 0.5, 24) * min(length / radius, 2.5)
        path = np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], 1)
    canvas = Canvas(path.astype(np.float32), 4)
    strengths = np.sin(np.linspace(0.1, np.pi - 0.1, 23)).astype(np.float32)
    width = np.full(23, rng.uniform(1.0, 2.2), np.float32)
    line = canvas.stroke(path.astype(np.float32), width, strengths)
    height = rng.choice([-1.0, 1.0]) * rng.uniform(6, 20)
    return _harmless(canvas, np.ones_like(line), np.float32(height) * line)


def _soft(rng: Generator, place: Points, strength: float) -> Mark:
    """A large patch without an edge: a film of coolant (darker) or a reflection (brighter)."""
    long, short = rng.uniform(22, 48), rng.uniform(14, 30)
    canvas = Canvas(place[None], _SOFT_REACH * max(long, short))
    x, y = canvas.grid((float(place[0]), float(place[1])))
    turn = rng.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    blob = np.exp(-0.5 * ((u / long) ** 2 + (v / short) ** 2)).astype(np.float32)
    return _harmless(canvas, 1 + np.float32(strength) * blob, np.zeros_like(blob))


def _harmless(canvas: Canvas, factor: Plane, offset: Plane) -> Mark:
    nothing = np.zeros((canvas.height, canvas.width), np.bool_)
    return canvas.mark(factor.astype(np.float32), offset.astype(np.float32), nothing)
