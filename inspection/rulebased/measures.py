"""Classical measures of a frame, and the limits that good frames keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from inspection.rulebased.align import Plane, reduced
from inspection.rulebased.template import Laid

Limits = dict[str, tuple[float, float]]
"""The lowest and the highest value of each measure that is known to be good."""

# Of the frame as it came, from the tier-1 statistics; position is the alignment's business.
OF_THE_FRAME = (
    "brightness",
    "contrast",
    "sharpness",
    "noise",
    "clipped_low",
    "clipped_high",
    "aspect",
)
OF_THE_PART = ("correlation", "foreground", "blobs", "largest_blob", "edges")

_LEAST_BLOB = 0.0005
_EDGE_LEVELS = 32
_CELL = np.ones((3, 3), np.uint8)
# What a measure may always leave the good frames' range by: in its own unit, and of its value.
_SLACK = {
    "brightness": 10.0,
    "contrast": 8.0,
    "sharpness": math.log(2),
    "noise": 1.0,
    "clipped_low": 0.02,
    "clipped_high": 0.02,
    "aspect": 0.01,
    "correlation": 0.02,
    "foreground": 0.02,
    "blobs": 2.0,
    "largest_blob": 0.05,
    "edges": 0.02,
}
_RELATIVE_SLACK = {"noise": 0.5, "blobs": 0.1}


def measure(laid: Laid, mean: Plane, statistics: Mapping[str, float]) -> dict[str, float]:
    """The measures of one frame by name.

    - ``brightness`` to ``aspect``: tier-1 statistics of the frame as it came, of ``sharpness`` the
      natural logarithm (plus 1).
    - ``correlation``: with the template, after alignment, in [-1, 1].
    - ``foreground``: share of pixels brighter than Otsu's level of the template, in [0, 1].
    - ``blobs``, ``largest_blob``: connected regions of the foreground with at least a 2000th of
      the plane; the share of the largest, in [0, 1].
    - ``edges``: share of pixels whose 3 x 3 neighbours differ by 32 grey levels or more.

    The last four are of the frame in the template's place and light, 320 pixels a side.

    Args:
        laid: The frame on its template.
        mean: Of the template.
        statistics: Of `inspection.statistics` for the frame.
    """
    plane, _ = reduced(laid.plane)
    level, _ = cv2.threshold(reduced(mean)[0], 0, 255, cv2.THRESH_OTSU)
    bright = (plane > level).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA] / plane.size
    edges = cv2.morphologyEx(plane, cv2.MORPH_GRADIENT, _CELL) >= _EDGE_LEVELS
    return {
        **{name: float(statistics[name]) for name in OF_THE_FRAME},
        "sharpness": math.log1p(statistics["sharpness"]),
        "correlation": laid.alignment.correlation,
        "foreground": float(bright.mean()),
        "blobs": float((areas >= _LEAST_BLOB).sum()),
        "largest_blob": float(areas.max(initial=0.0)),
        "edges": float(edges.mean()),
    }


def limits(good: Sequence[Mapping[str, float]]) -> Limits:
    """The range of each measure over good frames, widened by its own width and a stated slack.

    A correlation has no upper limit.

    >>> found = limits([{"brightness": 100.0}, {"brightness": 120.0}])
    >>> found["brightness"]
    (80.0, 140.0)
    """
    found = {}
    for name in good[0]:
        values = [one[name] for one in good]
        low, high = min(values), max(values)
        relative = _RELATIVE_SLACK.get(name, 0.0) * max(abs(low), abs(high))
        slack = max(high - low, _SLACK.get(name, 0.0), relative)
        found[name] = (low - slack, 1.0 if name == "correlation" else high + slack)
    return found


def outside(measures: Mapping[str, float], known: Limits) -> dict[str, tuple[float, float]]:
    """The measures that leave their limits: value and the limit that it leaves.

    >>> outside({"brightness": 70.0}, {"brightness": (80.0, 140.0)})
    {'brightness': (70.0, 80.0)}
    """
    found = {}
    for name, (low, high) in known.items():
        value = measures[name]
        if not low <= value <= high:
            found[name] = (value, high if value > high else low)
    return found
