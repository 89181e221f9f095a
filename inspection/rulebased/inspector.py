"""A frame in, a verdict out, without any engine: the check in the place of an inspector."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.decision import Label, Reason, Verdict, decide, worst
from inspection.inspector import FrameContext, Inspection, Inspector, Ready
from inspection.outputs import Outputs
from inspection.preprocess import Prepared
from inspection.rulebased.align import Plane
from inspection.rulebased.check import FILE, PREFIX, Check
from inspection.rulebased.difference import Place, in_frame, places
from inspection.rulebased.measures import Limits, measure, outside
from inspection.rulebased.template import Template, Tolerance, lay
from store.errors import Unavailable

MARK = "rule_based"
"""Code of the first reason of every verdict that no model gave."""

MAP_CELLS = 32
_MOST_PLACES = 20


class NoEngine:
    """Stands where an inspector has its engine; the check runs no graph."""

    name = PREFIX
    graph = FILE
    build = f"opencv {cv2.__version__}"

    def run(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Never: there is no graph.

        Raises:
            Unavailable: always.
        """
        raise Unavailable("the rule-based check runs no graph")


@dataclass(frozen=True)
class Compared:
    """What the comparison of one frame with its template gave.

    Attributes:
        score: ln(1 + mass of the heaviest place in pixels); 0 without any difference.
        places: The heaviest places where it differs, in pixels of the prepared frame.
        measures: By name, as `inspection.rulebased.measures.measure` gives them.
    """

    score: float
    places: tuple[Place, ...]
    measures: Mapping[str, float]


def compare(prepared: Prepared, template: Template, tolerance: Tolerance) -> Compared:
    """Lay a frame on its template, and say what differs.

    Args:
        prepared: The frame, as large as the template.
        template: What good parts look like.
        tolerance: Bounds of the search.
    """
    laid = lay(grey(prepared.pixels), template.mean, tolerance)
    found = places(laid, template)
    score = math.log1p(found[0].mass_px) if found else 0.0
    measures = measure(laid, template.mean, prepared.statistics)
    shown = (in_frame(one, laid.alignment, laid.plane.shape) for one in found[:_MOST_PLACES])
    return Compared(score, tuple(shown), measures)


def grey(pixels: NDArray[np.uint8]) -> Plane:
    """The grey plane (h, w) of prepared pixels (h, w, 1 or 3), colour as red, green, blue."""
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


class RuleBasedInspector(Inspector):
    """Answers frames by comparing them with golden templates; may be shared between threads.

    Every verdict's first reason is `MARK`, so that no reader takes it for a model's.
    """

    def __init__(self, check: Check, name: str) -> None:
        """Answer with a check.

        Args:
            check: With templates of the size that its contract states.
            name: Of the check; given in the reason.

        Raises:
            Corrupt: when a template cannot be decoded.
        """
        super().__init__(check.contract, check.rule, NoEngine())
        self.check, self.name = check, name
        self._mark = Reason(MARK, name)
        for golden in check.templates:  # decoded now, not under the first frames
            _ = golden.template

    def _answers(self, ready: Sequence[Ready]) -> list[Inspection]:
        return [self._compared(one) for one in ready]

    def _compared(self, ready: Ready) -> Inspection:
        started = time.perf_counter()
        context, prepared = ready.context, ready.prepared
        golden = self.check.golden(context.product, context.camera)
        if golden is None:
            outputs, verdict = _outputs(math.nan, {}), self._unplaced(context)
        else:
            found = compare(prepared, golden.template, self.check.tolerance)
            middles = {self._middle(place): place.mass_px for place in found.places}
            outputs = _outputs(found.score, middles)
            verdict = self._verdict(found, golden.limits, outputs, context)
        took_ms = (time.perf_counter() - started) * 1e3
        return Inspection(verdict, outputs, prepared.statistics, ready.decode_ms, took_ms)

    def _verdict(
        self, found: Compared, limits: Limits, outputs: Outputs, context: FrameContext
    ) -> Verdict:
        """The rule's verdict; at least REVIEW when a measure leaves its limits."""
        decided = decide(outputs, (), self.rule, context.product, context.camera)
        limit = self.limit_px(context)
        differing = [
            Reason("difference", place.kind, place.mass_px, limit, *self._middle(place))
            for place in found.places
            if place.mass_px > limit
        ]
        left = outside(found.measures, limits)
        leaving = [Reason("measure", name, *pair) for name, pair in left.items()]
        label = worst([decided.label, Label.REVIEW]) if leaving else decided.label
        reasons = (self._mark, *decided.reasons, *differing, *leaving)
        return replace(decided, label=label, reasons=reasons)

    def _unplaced(self, context: FrameContext) -> Verdict:
        """REVIEW, with the name of the frame that leads to no template."""
        cameras = {golden.camera for golden in self.check.templates}
        is_camera = context.camera and context.camera not in cameras
        name = context.camera if is_camera else context.product
        code = "unknown_camera" if is_camera else "unknown_product"
        return Verdict(Label.REVIEW, 1.0, (self._mark, Reason(code, name)))

    def limit_px(self, context: FrameContext) -> float:
        """The mass from which a place keeps a frame from PASS."""
        chosen = self.rule.thresholds(context.product, context.camera)
        below = chosen.pass_below
        if below <= 0 or below >= 1:
            return 0.0
        logit = math.log(below / (1 - below))
        return max(0.0, math.expm1((logit - chosen.bias) * chosen.temperature))

    def _middle(self, place: Place) -> tuple[float, float]:
        left, top, right, bottom = place.box
        spec = self.contract.input
        return (left + right) / 2 / spec.width, (top + bottom) / 2 / spec.height


def _outputs(score: float, middles: Mapping[tuple[float, float], float]) -> Outputs:
    """In the form of an engine's; the map holds the mass of each place at its middle.

    Args:
        score: Raw, rising with badness.
        middles: Masses by x and y as shares of the frame.
    """
    heat = np.zeros((1, MAP_CELLS, MAP_CELLS), np.float32)
    for (x, y), mass in middles.items():
        row, column = (min(int(share * MAP_CELLS), MAP_CELLS - 1) for share in (y, x))
        cell = (0, row, column)
        heat[cell] = max(float(heat[cell]), mass / (1 + mass))
    none = np.zeros((1, 1), np.float32)
    return Outputs(np.array([score], np.float32), none[:, :0], none, heat)
