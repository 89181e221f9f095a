"""The rule-based check on real boards: DeepPCB's template and test pairs, one group held out.

Each pair is a product of its own with one good frame, its template: no crop of the boards is there
twice, so that a template of several exposures cannot be tried. All test frames are defective; the
good frames are test frames with their annotated boxes repaired from the template, and an escape is
counted on frames with a single defect left, so that no large defect answers for a small one.
Thresholds come from one group (cost and limits of a line's default settings), figures from the
other, and both ways are pooled. Nothing is drawn at random but the spot checks of ``--pictures``.

Run: ``python -m benchmarks.rule_based [--json FILE] [--data FOLDER] [--pictures FOLDER]``.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from inspection.contract import Contract, InputSpec
from inspection.decision import Label, Rule
from inspection.inspector import FrameContext
from inspection.preprocess import Prepared
from inspection.rulebased.align import align
from inspection.rulebased.check import Check, Golden
from inspection.rulebased.difference import Place
from inspection.rulebased.inspector import MAP_CELLS, RuleBasedInspector, compare
from inspection.rulebased.measures import limits
from inspection.rulebased.template import Template, Tolerance, learn, sighted_share
from inspection.statistics import STATS_VERSION, statistics
from vision_assets.config import LineConfig
from vision_assets.evaluation.intervals import design_effect
from vision_assets.evaluation.rates import rate
from vision_assets.rule_based.judge import SIGHTED_LEVELS, Judged, judge, separation
from vision_assets.rule_based.make import COMPARED, LEVELS

DATA = Path(__file__).parents[2] / "shared" / "data" / "deeppcb" / "PCBData"
GROUPS = ("44000", "50600")
KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
SIDE_PX = 640
SEED = 0
# A place is a hit when at least half of it lies in the annotated box, grown by this; boxes are
# drawn loosely around the defect, so that the usual overlap of both areas says little.
GROWN_PX, HELD = 5, 0.5
GOALS = {"escapes": 0.05, "overkill": 0.10}

Plane = NDArray[np.uint8]
Box = tuple[int, int, int, int, int]
REACH = Tolerance().reach


@dataclass(frozen=True)
class Pair:
    """One crop of a board: its template, its test frame, and the annotated defects."""

    name: str
    group: str
    golden: Plane
    test: Plane
    boxes: tuple[Box, ...]

    def repaired(self, keep: int | None = None) -> Plane:
        """The test frame with every box but `keep` filled from the template laid under it."""
        found = align(self.test, self.golden, REACH)
        under = cv2.warpAffine(
            self.golden, found.matrix, (SIDE_PX, SIDE_PX), None, cv2.INTER_NEAREST, 1
        )
        frame = self.test.copy()
        kept = self.boxes[keep][:4] if keep is not None else (0, 0, 0, 0)
        for left, top, right, bottom, _ in self.boxes:
            frame[top:bottom, left:right] = under[top:bottom, left:right]
        left, top, right, bottom = kept
        frame[top:bottom, left:right] = self.test[top:bottom, left:right]
        return frame


@dataclass(frozen=True)
class Frame:
    """One frame that is judged: its pair, pixels, and the defect that is left (None: good)."""

    pair: Pair
    pixels: Plane
    kind: int | None


def pairs(data: Path, group: str) -> list[Pair]:
    """The pairs of one group, by name."""
    folder = data / f"group{group}"
    found = []
    for path in sorted((folder / group).glob("*_temp.jpg")):
        name = path.name.removesuffix("_temp.jpg")
        lines = (folder / f"{group}_not" / f"{name}.txt").read_text().split("\n")
        boxes = [tuple(map(int, line.split())) for line in lines if line.strip()]
        planes = [_read(folder / group / f"{name}_{which}.jpg") for which in ("temp", "test")]
        found.append(Pair(name, group, planes[0], planes[1], tuple(boxes)))  # type: ignore[arg-type]
    return found


def frames(of: Sequence[Pair]) -> Iterator[Frame]:
    """For each pair its repaired frame, then one frame for each of its defects."""
    for pair in of:
        yield Frame(pair, pair.repaired(), None)
        for index, box in enumerate(pair.boxes):
            yield Frame(pair, pair.repaired(index), box[4] - 1)


def templates(of: Sequence[Pair], tolerance: Tolerance) -> dict[str, Template]:
    """A template from the one good frame of each product."""
    return {pair.name: learn([pair.golden], tolerance) for pair in of}


@dataclass(frozen=True)
class Calibrated:
    """What one group gives: tolerance, rule, and the limits of the correlation.

    The other measures would need a second good frame of each product.
    """

    tolerance: Tolerance
    judged: Judged
    correlation: tuple[float, float]


def calibrated(group: Sequence[Pair]) -> Calibrated:
    """The tolerance that tells defects best, and the rule with it."""
    of = list(frames(group))
    tried = [compared(group, of, Tolerance(levels=levels)) for levels in LEVELS]
    best = max(range(len(LEVELS)), key=lambda index: separation(tried[index][0]))
    table, sighted = tried[best]
    good = table.filter(pl.col("label") == "good")["correlation"]
    low, high = limits([{"correlation": float(value)} for value in good])["correlation"]
    table = table.with_columns(is_outside=pl.col("correlation") < low)
    judged = judge(table, LineConfig(), sighted)
    return Calibrated(Tolerance(levels=LEVELS[best]), judged, (low, high))


def compared(
    group: Sequence[Pair], of: Sequence[Frame], tolerance: Tolerance
) -> tuple[pl.DataFrame, float]:
    """How frames compare with their templates, and the smallest sighted share of these."""
    known = templates(group, tolerance)
    rows = []
    for number, frame in enumerate(of):
        found = compare(_prepared(frame.pixels), known[frame.pair.name], tolerance)
        label = "good" if frame.kind is None else "defect"
        correlation = found.measures["correlation"]
        rows.append((str(number), label, found.score, False, correlation))
    sighted = min(sighted_share(one, SIGHTED_LEVELS) for one in known.values())
    return pl.DataFrame(rows, schema=COMPARED, orient="row"), sighted


def check_of(group: Sequence[Pair], rule: Rule, found: Calibrated) -> Check:
    """One check with a template for each product of a group."""
    return Check(
        contract=Contract(
            task="rule_based",
            classes=(),
            input=InputSpec(channels=1, height=SIDE_PX, width=SIDE_PX),
            embedding_size=1,
            map_height=MAP_CELLS,
            map_width=MAP_CELLS,
            stats_version=STATS_VERSION,
        ),
        rule=rule,
        tolerance=found.tolerance,
        templates=tuple(
            Golden.of(template, {"correlation": found.correlation}, product=name, camera="")
            for name, template in templates(group, found.tolerance).items()
        ),
    )


def judged_frames(group: Sequence[Pair], inspector: RuleBasedInspector) -> pl.DataFrame:
    """Verdict, score, kind and latency of every frame of the held-out group."""
    rows = []
    for frame in frames(group):
        data = cv2.imencode(".png", frame.pixels)[1].tobytes()
        started = time.perf_counter()
        answer = inspector.inspect(data, FrameContext(product=frame.pair.name))
        took = (time.perf_counter() - started) * 1e3
        rows.append(
            {
                "board": frame.pair.name,
                "kind": None if frame.kind is None else KINDS[frame.kind],
                "verdict": answer.verdict.label.value,
                "score": answer.verdict.score,
                "latency_ms": took,
                "compare_ms": answer.engine_ms,
            }
        )
    return pl.DataFrame(rows)


def found_defects(group: Sequence[Pair], inspector: RuleBasedInspector) -> pl.DataFrame:
    """Every annotated defect of the whole test frames and whether it was found; false places."""
    limit = inspector.limit_px(FrameContext())
    rows: list[dict[str, object]] = []
    for pair in group:
        template = inspector.check.golden(pair.name, "")
        assert template is not None
        found = compare(_prepared(pair.test), template.template, inspector.check.tolerance)
        heavy = [place for place in found.places if place.mass_px > limit]
        hits = [{index for index, box in enumerate(pair.boxes) if _holds(box, p)} for p in heavy]
        hit = set().union(*hits) if hits else set()
        rows += [
            {"board": pair.name, "kind": KINDS[box[4] - 1], "found": index in hit, "false": None}
            for index, box in enumerate(pair.boxes)
        ]
        false = sum(not one for one in hits)
        rows.append({"board": pair.name, "kind": None, "found": None, "false": false})
    return pl.DataFrame(rows, schema_overrides={"false": pl.Int64, "found": pl.Boolean})


def pictures(group: Sequence[Pair], inspector: RuleBasedInspector, folder: Path) -> None:
    """Overlays: annotated boxes green, missed ones magenta, false places orange."""
    folder.mkdir(parents=True, exist_ok=True)
    limit = inspector.limit_px(FrameContext())
    for pair in random.Random(SEED).sample(list(group), min(12, len(group))):
        golden = inspector.check.golden(pair.name, "")
        assert golden is not None
        found = compare(_prepared(pair.test), golden.template, inspector.check.tolerance)
        heavy = [place for place in found.places if place.mass_px > limit]
        shown = cv2.cvtColor(pair.test // 2 + 64, cv2.COLOR_GRAY2BGR)
        for box in pair.boxes:
            is_found = any(_holds(box, place) for place in heavy)
            colour = (0, 160, 0) if is_found else (255, 0, 255)
            cv2.rectangle(shown, box[:2], box[2:4], colour, 1)
        for place in heavy:
            is_true = any(_holds(box, place) for box in pair.boxes)
            colour = (0, 0, 255) if is_true else (0, 140, 255)
            cv2.rectangle(shown, place.box[:2], place.box[2:], colour, 1)
        cv2.imwrite(str(folder / f"{pair.name}.png"), shown)


def report(judged: pl.DataFrame, defects: pl.DataFrame) -> list[dict[str, object]]:
    """The figures of both held-out groups together."""
    good, bad = judged.filter(pl.col("kind").is_null()), judged.drop_nulls("kind")
    figures = [
        _rate("escapes: frames with one defect that are PASS", bad, Label.PASS, "escapes"),
        _rate("one-defect frames that are REVIEW", bad, Label.REVIEW),
        _rate("overkill: repaired frames that are REJECT", good, Label.REJECT, "overkill"),
        _rate("repaired frames that are REVIEW", good, Label.REVIEW),
    ]
    for kind in KINDS:
        of = bad.filter(pl.col("kind") == kind)
        figures.append(_rate(f"escapes of kind {kind}", of, Label.PASS))
    drawn = defects.drop_nulls("kind")
    for name, of in [("all", drawn), *((k, drawn.filter(pl.col("kind") == k)) for k in KINDS)]:
        found = rate(of["found"].to_numpy(), 0.95)
        figures.append(_figure(f"annotated defects found, {name}: {found}", found.rate or 0))
    false = defects["false"].drop_nulls()
    figures.append(_figure("false places per board, mean", float(str(false.mean())), "places"))
    figures.append(_figure("boards without a false place", float((false == 0).to_numpy().mean())))
    for name in ("latency_ms", "compare_ms"):
        for share in (0.5, 0.99):
            value = judged[name].quantile(share) or 0.0
            figures.append(_figure(f"{name} per board, quantile {share}", value, "ms"))
    return figures


def _rate(name: str, table: pl.DataFrame, label: Label, goal: str = "") -> dict[str, object]:
    failed = (table["verdict"] == label.value).to_numpy()
    boards = table["board"].rank("dense").to_numpy().astype(np.int64)
    effect = design_effect(table["score"].to_numpy(), boards)
    found = rate(failed, 0.95, effect)
    return _figure(f"{name}: {found}", found.rate or 0, goal=GOALS.get(goal))


def _figure(
    name: str, value: float, unit: str = "share", goal: float | None = None
) -> dict[str, object]:
    ok = None if goal is None else value <= goal
    print(f"  {name}: {value:.4g} {unit}" + ("" if goal is None else f" (goal {goal}: {ok})"))
    return {"figure": name, "value": round(value, 4), "unit": unit, "goal": goal, "ok": ok}


def _holds(box: Box, place: Place) -> bool:
    left, top, right, bottom = place.box
    x = min(right, box[2] + GROWN_PX) - max(left, box[0] - GROWN_PX)
    y = min(bottom, box[3] + GROWN_PX) - max(top, box[1] - GROWN_PX)
    area = max(1, (right - left) * (bottom - top))
    return max(0, x) * max(0, y) >= HELD * area


def _prepared(pixels: Plane) -> Prepared:
    return Prepared(pixels[:, :, np.newaxis], statistics(pixels[:, :, np.newaxis]))


def _read(path: Path) -> Plane:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None or pixels.shape != (SIDE_PX, SIDE_PX):
        raise SystemExit(f"{path} is no frame of {SIDE_PX} x {SIDE_PX}: give --data FOLDER")
    return np.asarray(pixels, np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--data", type=Path, default=DATA, help="folder PCBData")
    parser.add_argument("--pictures", type=Path, help="write overlays here")
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"nothing is measured: {options.data} is not there, give --data FOLDER")
        return
    groups = {name: pairs(options.data, name) for name in GROUPS}
    judged, defects = [], []
    for held_out, other in zip(GROUPS, reversed(GROUPS), strict=True):
        chosen = calibrated(groups[other])
        check = check_of(groups[held_out], chosen.judged.rule, chosen)
        inspector = RuleBasedInspector(check, "benchmark")
        print(f"thresholds from group {other}: {chosen}")
        print(f"  a place counts from {inspector.limit_px(FrameContext()):.1f} px")
        judged.append(judged_frames(groups[held_out], inspector))
        defects.append(found_defects(groups[held_out], inspector))
        if options.pictures:
            pictures(groups[held_out], inspector, options.pictures)
    figures = report(pl.concat(judged), pl.concat(defects))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
