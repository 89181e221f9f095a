"""The cut points of the decision rule: the cheapest on the role `calibrate`, safe with few parts.

A part is decided by its worst frame, so its score is the highest calibrated p of its frames. The
rule passes parts below one cut, rejects those from another one, and has a person look at the rest.
Cuts lie midway (in log-odds) between adjacent scores: never at a score, and never beyond the last
one that was seen without a stated distance. Choices and figures: docs/decisions/0006.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import expit, logit

from inspection.decision import Thresholds
from store.errors import InvalidInput
from vision_assets.config import CostSettings, LimitSettings, LineConfig
from vision_assets.evaluation import calibration, conformal
from vision_assets.evaluation.intervals import Bools, Floats, Ints, upper_bound
from vision_assets.learning.registry import needs_defects

SMOOTHING = 0.1
"""The share of a part's label that is taken from its calibrated score instead.

A cut just below the lowest of ten defects passes one in eleven future ones, though it passes none
of the ten; a tenth is enough to see that, and changes nothing when there are many.
"""

SURE = (0.9, 0.7, 0.5)
"""How sure review share and overkill are to keep their limits on other parts: as sure as can be."""

_FEW = 10
_TIE = 1e-9


@dataclass(frozen=True)
class Parts:
    """The parts that thresholds are chosen on.

    Attributes:
        p: (n,) float64 in [0, 1], each part's worst calibrated score.
        defective: (n,) bool.
        likely: (n,) float64 in [0, 1], how likely each is defective for the expected cost.
    """

    p: Floats
    defective: Bools
    likely: Floats

    def __post_init__(self) -> None:
        if not len(self.p):
            raise InvalidInput("no part to choose thresholds on; expected those of role calibrate")
        for name, values in (("p", self.p), ("likely", self.likely)):
            low, high = float(np.min(values)), float(np.max(values))
            if not (low >= 0 and high <= 1):
                raise InvalidInput(f"{name} is between {low} and {high}, expected [0, 1]")


@dataclass(frozen=True)
class Allowed:
    """What a rule may do to the parts it is chosen on.

    Attributes:
        reviewed: Parts between the cuts.
        overkill: Good parts that are rejected.
        escapes: Expected defective parts that are passed.
    """

    reviewed: float
    overkill: float = math.inf
    escapes: float = math.inf


@dataclass(frozen=True)
class Cuts:
    """Cut points on the calibrated score, and the expected cost per part they were chosen for."""

    pass_below: float
    reject_from: float
    cost: float


@dataclass(frozen=True)
class Chosen:
    """Thresholds with the review band and without it.

    Attributes:
        banded: With the review band.
        closed: The cheapest single cut.
        warnings: What a person should know about the choice.
    """

    banded: Thresholds
    closed: Thresholds
    warnings: tuple[str, ...]


def choose(frames: pl.DataFrame, settings: LineConfig) -> Chosen:
    """Calibration and cuts from the frames of the role `calibrate`.

    The cheapest rule that keeps the line's limits here; when none does, the cheapest that keeps the
    review share, and a warning says so. Without a defective or without a good part there is no
    evidence to pass or reject anything: every part is REVIEW, and a warning says so.

    A task that learns from good frames alone takes its thresholds from good parts alone, too
    (`conformal`).

    Args:
        frames: Columns ``part``, ``label`` and ``score`` (finite).
        settings: The line's task, costs and limits.
    """
    if not needs_defects(settings.task):
        return _from_good(frames, settings.limits)
    defective = (frames["label"] == "defect").to_numpy()
    parts = frames.group_by("part").agg((pl.col("label") == "defect").any().alias("defective"))
    bad, good = int(parts["defective"].sum()), int((~parts["defective"]).sum())
    if bad == 0 or good == 0:
        return _nothing_known(bad, good)
    weight = (1 / frames.select(pl.len().over("part")).to_series()).to_numpy()
    scale = calibration.fit(frames["score"].to_numpy().astype(np.float64), defective, weight)
    worst, limits = _worst_scores(frames, scale), settings.limits
    banded, is_kept = _cuts(worst, settings.costs, limits)
    closed, _ = _cuts(worst, settings.costs, limits.model_copy(update={"max_review_share": 0.0}))
    warnings = (*_few(bad, good), *(() if is_kept else (_NONE_KEEPS,)))
    return Chosen(_thresholds(scale, banded), _thresholds(scale, closed), warnings)


def _from_good(frames: pl.DataFrame, limits: LimitSettings) -> Chosen:
    parts = _worst_parts(frames)
    score, bad = parts["score"].to_numpy(), parts["defective"].to_numpy()
    if bad.all():
        return _nothing_known(int(bad.sum()), 0)
    banded, closed, promise = conformal.choose(score[~bad], score[bad], limits)
    return Chosen(banded, closed, (promise,))


def most_within(parts: int, limit: float, sure: float) -> int:
    """The most of some parts that may fail here, so that others are `sure` to keep the limit.

    The largest count whose exact upper bound of that confidence keeps the limit, else 0.

    >>> most_within(100, 0.1, 0.9), most_within(20, 0.1, 0.9), most_within(20, 1.0, 0.9)
    (5, 0, 20)
    """
    low, high = 0, parts
    while low < high:
        middle = (low + high + 1) // 2
        if upper_bound(middle, parts, sure) <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def smoothed(defective: Bools, p: Floats) -> Floats:
    """How likely each part is defective: its label, and for a tenth its calibrated score.

    Args:
        defective: (n,) bool.
        p: (n,) float64 in [0, 1].
    """
    return np.asarray((1 - SMOOTHING) * defective + SMOOTHING * p, np.float64)


def cheapest(parts: Parts, costs: CostSettings, allowed: Allowed) -> Cuts | None:
    """The allowed cuts of the lowest expected cost, by exact search over all pairs.

    cost = mean over parts of: escape · likely where p < pass_below, overkill · (1 - likely) where
    p >= reject_from, review in between. Of equally cheap pairs the one that passes fewest, then the
    one that reviews fewest.

    Returns:
        None when no pair is allowed.
    """
    cuts, below = _possible_cuts(parts.p)
    order = np.argsort(parts.p, kind="stable")
    bad = np.r_[0.0, np.cumsum(parts.likely[order])][below]
    good = np.r_[0, np.cumsum(~parts.defective[order])]
    lower = costs.escape * bad - costs.review * below
    lower[bad > allowed.escapes + _TIE] = np.inf
    expected_good = float((1 - parts.likely).sum()) - (below - bad)
    upper = costs.review * below + costs.overkill * expected_good
    upper[good[-1] - good[below] > allowed.overkill] = np.inf
    ends = np.searchsorted(below, below + allowed.reviewed, side="right")
    partner = np.array([i + int(upper[i:end].argmin()) for i, end in enumerate(ends)])
    total = lower + upper[partner]
    lowest = float(total.min())
    if math.isinf(lowest):
        return None
    first = int(np.argmax(total <= lowest + _TIE * max(1.0, abs(lowest))))
    return Cuts(float(cuts[first]), float(cuts[partner[first]]), float(total[first]) / len(parts.p))


def _cuts(parts: Parts, costs: CostSettings, limits: LimitSettings) -> tuple[Cuts, bool]:
    """The cheapest cuts, and whether they keep the limits on these parts."""
    count, good = len(parts.p), int((~parts.defective).sum())
    for sure in SURE:
        within = Allowed(
            reviewed=most_within(count, limits.max_review_share, sure),
            overkill=most_within(good, limits.max_overkill_rate, sure),
            escapes=float(parts.likely.sum()) * limits.max_escape_rate,
        )
        found = cheapest(parts, costs, within)
        if found is not None:
            return found, True
    # Some single cut is always possible, so the review share alone excludes no solution.
    free = cheapest(parts, costs, Allowed(most_within(count, limits.max_review_share, SURE[0])))
    assert free is not None
    return free, False


def _possible_cuts(p: Floats) -> tuple[Floats, Ints]:
    """Cuts between adjacent scores, and how many parts each leaves below.

    The first cut is 0: when no part may be passed, nothing has shown that a lower score may. The
    last is halfway from the highest score to 1.
    """
    seen, count = np.unique(p, return_counts=True)
    low, high = seen, np.r_[seen[1:], 1.0]
    inside = np.clip(seen, 1e-15, 1 - 1e-15)
    middle = np.r_[expit((logit(inside[:-1]) + logit(inside[1:])) / 2), 0.0]
    middle = np.where((low < middle) & (middle < high), middle, (low + high) / 2)
    # Neighbours so close that no number lies between them cannot be told apart by a cut.
    apart = (low < middle) & (middle < high)
    cuts = np.r_[0.0, middle[apart]]
    return cuts, np.r_[0, np.cumsum(count)[apart]].astype(np.int64)


def _worst_scores(frames: pl.DataFrame, scale: calibration.Scale) -> Parts:
    parts = _worst_parts(frames)
    p = expit(parts["score"].to_numpy() / scale.temperature + scale.bias)
    defective = parts["defective"].to_numpy()
    return Parts(p, defective, smoothed(defective, p))


def _worst_parts(frames: pl.DataFrame) -> pl.DataFrame:
    return (
        frames.group_by("part")
        .agg(
            pl.col("score").cast(pl.Float64).max(),
            (pl.col("label") == "defect").any().alias("defective"),
        )
        .sort("part")
    )


def _thresholds(scale: calibration.Scale, cuts: Cuts) -> Thresholds:
    return Thresholds(
        temperature=scale.temperature,
        bias=scale.bias,
        pass_below=cuts.pass_below,
        reject_from=cuts.reject_from,
    )


_NONE_KEEPS = (
    "no thresholds keep all of the line's limits on role calibrate, so costs alone chose them: "
    "train longer or with more labelled frames, or change limits and costs"
)


def _nothing_known(bad: int, good: int) -> Chosen:
    review = Thresholds(temperature=1.0, bias=0.0, pass_below=0.0, reject_from=1.0)
    warning = (
        f"role calibrate has {bad} defective and {good} good parts; without both nothing shows "
        "which scores may pass or be rejected, so every part is REVIEW: deliver labelled batches "
        "with both"
    )
    return Chosen(review, review, (warning,))


def _few(bad: int, good: int) -> tuple[str, ...]:
    if min(bad, good) >= _FEW:
        return ()
    return (
        f"role calibrate has {bad} defective and {good} good parts: with fewer than {_FEW} of "
        "either the thresholds are guesses; deliver more labelled batches",
    )
