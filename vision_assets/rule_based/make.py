"""From a snapshot's good frames to the line's rule-based check.

Templates come from the role `train`, limits and thresholds from `calibrate`, figures from `test`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from inspection.contract import Contract, InputSpec
from inspection.inspector import FrameContext, Inspection
from inspection.preprocess import Prepared, prepare
from inspection.rulebased import stored
from inspection.rulebased.align import Plane
from inspection.rulebased.check import Check, Golden, name_of
from inspection.rulebased.inspector import MAP_CELLS, RuleBasedInspector, compare, grey
from inspection.rulebased.measures import Limits, limits, outside
from inspection.rulebased.template import Template, Tolerance, learn, sighted_share
from inspection.statistics import STATS_VERSION
from store import artifacts, batches
from store.artifacts import Artifact
from store.errors import InvalidInput, NotFound
from store.keys import LineKey
from store.root import Store
from vision_assets import config
from vision_assets.dataset import snapshot
from vision_assets.evaluation.figures import Rate
from vision_assets.evaluation.rates import rate, to_parts
from vision_assets.progress import Progress, silent
from vision_assets.rule_based.judge import SIGHTED_LEVELS, Judged, judge, separation

VERSION = "1"
"""Raised whenever equal frames and settings would give another check."""

MOST_FRAMES = 24
"""Good frames a template is learned from; more hardly change mean and spread."""

MOST_COMPARED = 1000
"""Frames of the roles `calibrate` and `test` that are compared, evenly spread."""

LONGER_SIDE_PX = 1024
"""Larger frames are reduced to this; a defect of two pixels there is still seen."""

LEVELS = (6, 12, 24)
"""Grey levels that never count: the fewest of those that tell defects best on `calibrate`."""

COMPARED = {
    "part": pl.String(),
    "label": pl.String(),
    "score": pl.Float64(),
    "is_outside": pl.Boolean(),
    "correlation": pl.Float64(),
}
"""Columns of a table of compared frames."""

Key = tuple[str, str]


@dataclass(frozen=True)
class Made:
    """A check that was made.

    Attributes:
        artifact: Where it is.
        judged: What it may do, and from which figures.
        test: Escapes, overkill and review share on the role `test`, with intervals.
        notes: What a person should know.
    """

    artifact: Artifact
    judged: Judged
    test: Mapping[str, Rate]
    notes: tuple[str, ...]


def make(store: Store, line: LineKey, name: str = "", progress: Progress = silent) -> Made:
    """Learn the line's check from a snapshot and make it the current one.

    Args:
        store: Where everything is.
        line: Whose check.
        name: Of the snapshot; default: the current one.
        progress: Told of frames as they are compared.

    Raises:
        NotFound: when the line has no snapshot.
        InvalidInput: when no product and camera has a good frame in both `train` and `calibrate`.
    """
    settings = config.load(store, line)
    source = _snapshot(store, line, name)
    rows = snapshot.frames(store, line, source.name).with_columns(
        pl.col("product").fill_null(""), pl.col("camera").fill_null("")
    )
    frames = _Frames(store, _contract(rows, int(source.summary["channels"]), settings), progress)
    planes, notes = _good_planes(frames, rows)
    learned = [_learned(frames, rows, planes, Tolerance(levels=levels)) for levels in LEVELS]
    best = max(learned, key=lambda one: separation(one.compared))
    if not best.templates:
        raise InvalidInput(
            "a rule-based check needs good frames of one product and camera in both roles train "
            "and calibrate: " + "; ".join(notes or ["deliver more labelled batches"])
        )
    judged = judge(best.compared, settings, best.sighted)
    check = Check(
        contract=frames.contract,
        rule=judged.rule,
        tolerance=best.tolerance,
        templates=tuple(
            Golden.of(template, best.limits[key], product=key[0], camera=key[1])
            for key, template in sorted(best.templates.items())
        ),
    )
    test = _tested(frames, rows, check, settings.limits.confidence)
    inputs = {"snapshot": source.name, "config": settings.hash, "version": VERSION}
    summary = {
        "why_useless": judged.why,
        "calibrate": judged.figures,
        "test": {what: found.model_dump() for what, found in test.items()},
        "notes": notes,
    }
    made = stored.publish(store, line, check, inputs, summary)
    return Made(made, judged, test, tuple(notes))


def use(store: Store, line: LineKey, name: str) -> Artifact:
    """Make an earlier check the current one again.

    Raises:
        NotFound: when the line has no such check.
    """
    found = artifacts.read(store, line, stored.KIND, name)
    artifacts.make_current(store, line, stored.KIND, name)
    return found


@dataclass(frozen=True)
class _Frames:
    """Reads and prepares frames."""

    store: Store
    contract: Contract
    progress: Progress

    def read(self, rows: pl.DataFrame, doing: str) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Rows with their frames' bytes."""
        for done, row in enumerate(rows.iter_rows(named=True), start=1):
            place = batches.Place(**{name: row[name] for name in batches.Place._fields})
            yield row, batches.read_frame(self.store, place)
            self.progress(doing, done, len(rows))

    def prepared(self, rows: pl.DataFrame, doing: str) -> Iterator[tuple[dict[str, Any], Prepared]]:
        """Rows with their frames, as large as the templates."""
        for row, data in self.read(rows, doing):
            yield row, prepare(data, self.contract.input)


def _snapshot(store: Store, line: LineKey, name: str) -> Artifact:
    if name:
        return artifacts.read(store, line, snapshot.KIND, name)
    current = artifacts.current(store, line, snapshot.KIND)
    if current is None:
        raise NotFound(
            f"line {line} has no snapshot to learn a check from: vision-assets run --line {line}"
        )
    return current


def _contract(rows: pl.DataFrame, channels: int, settings: config.LineConfig) -> Contract:
    """What the check accepts: the most frequent size of the frames, reduced when it is large."""
    sizes = rows.group_by("width", "height").len().sort("len", "width", descending=True)
    width, height = sizes.select("width", "height").row(0)
    scale = min(1.0, LONGER_SIDE_PX / max(width, height))
    spec = InputSpec(
        channels=1 if channels == 1 else 3,
        height=max(1, round(height * scale)),
        width=max(1, round(width * scale)),
        max_pixels=settings.ingest.max_pixels,
        min_side_px=settings.ingest.min_side_px,
    )
    return Contract(
        task="rule_based",
        classes=(),
        input=spec,
        embedding_size=1,
        map_height=MAP_CELLS,
        map_width=MAP_CELLS,
        stats_version=STATS_VERSION,
    )


def _of_role(rows: pl.DataFrame, role: str) -> pl.DataFrame:
    """The frames of a role, or `MOST_COMPARED` of them spread evenly."""
    found = rows.filter(pl.col("role") == role)
    return found[_spread(len(found), MOST_COMPARED)]


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Positions of at most so many of `count` rows, evenly spread.

    >>> _spread(5, 3).tolist(), _spread(2, 3).tolist(), _spread(0, 3).tolist()
    ([0, 2, 4], [0, 1], [])
    """
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def _good_planes(frames: _Frames, rows: pl.DataFrame) -> tuple[dict[Key, list[Plane]], list[str]]:
    """Good frames of the role `train` by product and camera, and which of these have none."""
    found: dict[Key, list[Plane]] = {}
    notes = []
    for key, group in sorted(rows.group_by("product", "camera"), key=lambda pair: str(pair[0])):
        good = group.filter((pl.col("role") == "train") & (pl.col("label") == "good"))
        product, camera = str(key[0]), str(key[1])
        if good.is_empty():
            notes.append(f"product {product!r}, camera {camera!r} has no good frame to learn from")
            continue
        chosen = good[_spread(len(good), MOST_FRAMES)]
        found[product, camera] = [
            grey(one.pixels) for _, one in frames.prepared(chosen, "learning")
        ]
    return found, notes


@dataclass(frozen=True)
class _Learned:
    """Templates at one tolerance, and how the frames of the role `calibrate` compare with them."""

    tolerance: Tolerance
    templates: Mapping[Key, Template]
    limits: Mapping[Key, Limits]
    compared: pl.DataFrame

    @property
    def sighted(self) -> float:
        """The smallest share of a template's pixels where a clear change is seen."""
        return min(sighted_share(one, SIGHTED_LEVELS) for one in self.templates.values())


def _learned(
    frames: _Frames,
    rows: pl.DataFrame,
    planes: Mapping[Key, Sequence[Plane]],
    tolerance: Tolerance,
) -> _Learned:
    """Templates, and the limits of the measures of good frames of the role `calibrate`."""
    templates = {key: learn(some, tolerance) for key, some in planes.items()}
    found = []
    for row, prepared in frames.prepared(_of_role(rows, "calibrate"), "comparing"):
        key = (row["product"], row["camera"])
        if key in templates:
            found.append((key, row, compare(prepared, templates[key], tolerance)))
    good: dict[Key, list[Mapping[str, float]]] = {}
    for key, row, compared in found:
        if row["label"] == "good":
            good.setdefault(key, []).append(compared.measures)
    known = {key: limits(measures) for key, measures in good.items()}
    table = [
        {
            "part": row["part"],
            "label": row["label"],
            "score": compared.score,
            "is_outside": bool(outside(compared.measures, known[key])),
            "correlation": compared.measures["correlation"],
        }
        for key, row, compared in found
        if key in known
    ]
    used = {key: template for key, template in templates.items() if key in known}
    return _Learned(tolerance, used, known, pl.DataFrame(table, schema=COMPARED))


def _tested(
    frames: _Frames, rows: pl.DataFrame, check: Check, confidence: float
) -> dict[str, Rate]:
    """Escapes, overkill and review share of the finished check on the role `test`."""
    inspector = RuleBasedInspector(check, name_of(check.to_bytes()))
    judged = []
    for row, data in frames.read(_of_role(rows, "test"), "testing"):
        answer: Inspection = inspector.inspect(data, FrameContext(row["camera"], row["product"]))
        verdict = answer.verdict
        columns = {name: row[name] for name in ("part", "group", "label", "classes")}
        label = verdict.label.value
        judged.append({**columns, "p": verdict.score, "verdict": label, "closed": label})
    if not judged:
        return {}
    parts = to_parts(pl.DataFrame(judged, schema_overrides={"classes": pl.List(pl.String)}))
    bad, good = parts.filter("defective"), parts.filter(~pl.col("defective"))
    counted = (
        ("escapes", bad, "PASS"),
        ("overkill", good, "REJECT"),
        ("reviewed", parts, "REVIEW"),
    )
    return {
        name: rate((table["verdict"] == label).to_numpy(), confidence)
        for name, table, label in counted
    }
