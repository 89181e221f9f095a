"""The decision rule: outputs of one frame in, a verdict out. Pure, small, the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inspection.outputs import Outputs


class Label(StrEnum):
    """What is done with the part; ordered from best to worst by `worst`."""

    PASS = "PASS"
    REVIEW = "REVIEW"
    REJECT = "REJECT"


_BELOW_ONE = math.nextafter(1.0, 0.0)
_SEVERITY = {Label.PASS: 0, Label.REVIEW: 1, Label.REJECT: 2}


class Thresholds(BaseModel):
    """One set of thresholds on the calibrated score p, with what calibrates it.

    p = sigmoid(score / temperature + bias). p < pass_below is PASS, p >= reject_from is REJECT,
    what lies between is REVIEW (none when both are equal).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(gt=0, allow_inf_nan=False)
    bias: float = Field(0.0, allow_inf_nan=False)
    pass_below: float = Field(ge=0, le=1)
    reject_from: float = Field(ge=0, le=1)
    class_from: float = Field(0.5, ge=0, le=1, description="a class is a reason from this score")

    @model_validator(mode="after")
    def _band_is_ordered(self) -> Self:
        if self.pass_below > self.reject_from:
            raise ValueError("pass_below must not exceed reject_from")
        return self

    def calibrated(self, score: float) -> float:
        """The calibrated probability of a defect for a raw score.

        Whoever needs it for many frames calls this for each: an array library's exp may differ in
        the last bit, which at a threshold is another verdict.
        """
        logit = score / self.temperature + self.bias
        if logit >= 0:  # never 1 itself, so that `reject_from` 1 rejects nothing
            return min(1.0 / (1.0 + math.exp(-logit)), _BELOW_ONE)
        return math.exp(logit) / (1.0 + math.exp(logit))


class Rule(BaseModel):
    """Thresholds per (product, camera), with a default.

    A key of `special` is ``product|camera``, where ``*`` stands for any. When `cameras` is not
    empty, a frame that names another camera is REVIEW; so with `products`. One that names none is
    judged: who sends frames by hand has no name to give.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: Thresholds
    special: dict[str, Thresholds] = Field(default_factory=dict)
    products: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _keys_can_match(self) -> Self:
        for key in self.special:
            if key.count("|") != 1 or not all(key.split("|")) or key == "*|*":
                raise ValueError(f"special key {key!r}: expected product|camera, one may be *")
        return self

    def thresholds(self, product: str, camera: str) -> Thresholds:
        """The most specific thresholds: product and camera, product, camera, default."""
        if self.special:
            for key in (f"{product}|{camera}", f"{product}|*", f"*|{camera}"):
                if key in self.special:
                    return self.special[key]
        return self.default


@dataclass(frozen=True)
class Reason:
    """One reason for a verdict.

    Attributes:
        code: ``score``, ``class``, ``band``, ``unknown_camera`` or ``unknown_product``; of the
            rule-based check also ``rule_based``, ``difference`` and ``measure``.
        name: The defect class of a ``class`` reason; the camera or product that is unknown.
        value: What was found.
        limit: What it was compared with.
        x, y: Where, as a share of width and height in [0, 1]; None when not known.
    """

    code: str
    name: str = ""
    value: float = 0.0
    limit: float = 0.0
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True)
class Verdict:
    """PASS, REJECT or REVIEW with its calibrated score in [0, 1] and its reasons."""

    label: Label
    score: float
    reasons: tuple[Reason, ...]


def decide(
    outputs: Outputs, classes: tuple[str, ...], rule: Rule, product: str = "", camera: str = ""
) -> Verdict:
    """The verdict for one frame.

    Args:
        outputs: Of one frame (N = 1).
        classes: Defect classes in the order of ``class_scores``.
        rule: The bundle's rule.
        product: What the line makes; empty when the frame does not say.
        camera: Which camera took the frame; empty when the frame does not say.

    A score that is not finite is REVIEW: the unknown is never passed.
    """
    chosen = rule.thresholds(product, camera)
    raw = float(outputs.score[0])
    if not math.isfinite(raw):
        return Verdict(Label.REVIEW, 1.0, (Reason("score", "not finite", 0.0, 0.0),))
    score = chosen.calibrated(raw)
    if unknown := _unknown(rule, product, camera):
        return Verdict(Label.REVIEW, score, unknown)
    if score < chosen.pass_below:
        return Verdict(Label.PASS, score, ())
    label = Label.REJECT if score >= chosen.reject_from else Label.REVIEW
    return Verdict(label, score, _reasons(outputs, classes, chosen, score, label))


def _unknown(rule: Rule, product: str, camera: str) -> tuple[Reason, ...]:
    """Which of camera and product the rule does not know: its thresholds say nothing of them."""
    found: tuple[Reason, ...] = ()
    if rule.cameras and camera and camera not in rule.cameras:
        found += (Reason("unknown_camera", camera),)
    if rule.products and product and product not in rule.products:
        found += (Reason("unknown_product", product),)
    return found


def _reasons(
    outputs: Outputs, classes: tuple[str, ...], chosen: Thresholds, score: float, label: Label
) -> tuple[Reason, ...]:
    """The score with the place of the map's peak first, then the classes, highest first."""
    heat = outputs.map[0]
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    x, y = (column + 0.5) / heat.shape[1], (row + 0.5) / heat.shape[0]
    code, limit = (
        ("score", chosen.reject_from) if label is Label.REJECT else ("band", chosen.pass_below)
    )
    found = [Reason(code, "", score, limit, x, y)]
    scores: list[float] = outputs.class_scores[0].tolist()
    ranked = sorted(zip(scores, classes, strict=True), key=itemgetter(0), reverse=True)
    found += [
        Reason("class", name, value, chosen.class_from)
        for value, name in ranked
        if value >= chosen.class_from
    ]
    return tuple(found)


def worst(labels: Iterable[Label]) -> Label:
    """The verdict of a part: the worst of its frames.

    >>> worst([Label.PASS, Label.REVIEW]).value
    'REVIEW'
    """
    return max(labels, key=lambda label: _SEVERITY[label])


def is_flip(reference: Label, other: Label) -> bool:
    """Whether `other` differs from the reference verdict of the same frame in a way that counts.

    PASS and REJECT exchanged, or any change of verdict for a score outside the review band: only a
    reference that is REVIEW itself may become something else.

    >>> is_flip(Label.PASS, Label.REJECT), is_flip(Label.REVIEW, Label.PASS)
    (True, False)
    """
    return other is not reference and reference is not Label.REVIEW
