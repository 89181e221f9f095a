"""The A/B report: a candidate against the live release, from what both answered.

A shadow has judged the same parts as the live release: they are paired. A canary has judged others:
two samples, comparable when hashing drew them, and said not to be when a camera or product did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from inspection.decision import Label, worst
from store import ledger
from store.errors import InvalidInput
from store.keys import LineKey
from store.ledger import Entry, Scope
from vision_assets.deployment.answers import Row
from vision_assets.deployment.differences import Difference, paired, unpaired

SHADOW = "shadow"


@dataclass(frozen=True)
class Changed:
    """A part on which the two differ."""

    part: str
    frames: int
    old: Label
    new: Label
    old_score: float
    new_score: float


@dataclass(frozen=True)
class Report:
    """Two releases compared.

    Attributes:
        kind: ``shadow`` (paired) or ``canary`` (two samples).
        old: Bundle of the baseline.
        new: Bundle of the candidate.
        releases: Names of the releases of either, as the rows have them.
        parts: Of both together when paired; else of the baseline and of the candidate.
        frames: The same.
        differences: By verdict.
        changed: Parts whose verdict differs; of pairs only.
        table: Parts by verdict of the baseline, then of the candidate; of pairs only.
        notes: What the reader must know.
    """

    kind: str
    old: str
    new: str
    releases: tuple[str, ...]
    parts: tuple[int, ...]
    frames: tuple[int, ...]
    differences: tuple[Difference, ...]
    changed: tuple[Changed, ...] = ()
    table: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Answer:
    part: str
    label: Label
    score: float


def compare(rows: Iterable[Row], line: LineKey, known: Sequence[Entry]) -> list[Report]:
    """One report for each candidate that the rows tell of, the last one first.

    Args:
        rows: Of the line, in any order.
        line: The line.
        known: Its ledger: it says who was a canary, with which scope.

    Raises:
        InvalidInput: when the rows tell of no candidate.
    """
    pairs: dict[tuple[str, str], list[Row]] = {}
    heard: list[Row] = []
    for row in rows:
        if row.get("kind") == SHADOW:
            pairs.setdefault((row["live_bundle"], row["shadow_bundle"]), []).append(row)
        elif row.get("bundle") and row.get("verdict") and row.get("score") is not None:
            heard.append(row)
    reports = [shadow_report(each) for each in pairs.values()]
    reports += [
        report
        for entry in known
        if entry.action == "canary" and (report := canary_report(heard, line, known, entry))
    ]
    if not reports:
        raise InvalidInput(
            f"line {line}: none of {len(heard)} decisions is a canary's and no row is a shadow's; "
            f"begin with `vision-assets shadow --line {line} --bundle NAME`"
        )
    return reports[::-1]


def shadow_report(rows: Sequence[Row]) -> Report:
    """The paired report on the rows of one shadow beside one live bundle."""
    frames = {row["frame_id"]: row for row in rows}  # a frame that was sent twice counts once
    parts: dict[str, list[Row]] = {}
    for row in frames.values():
        parts.setdefault(_part(row), []).append(row)
    judged = {
        part: (_worst(each, "live_verdict"), _worst(each, "shadow_verdict"))
        for part, each in parts.items()
    }
    first = rows[0]
    return Report(
        kind=SHADOW,
        old=first["live_bundle"],
        new=first["shadow_bundle"],
        releases=_names([*rows], "live_release") + _names([*rows], "shadow_release"),
        parts=(len(parts),),
        frames=(len(frames),),
        differences=tuple(paired(list(judged.values()))),
        changed=tuple(
            _changed(part, parts[part], old, new)
            for part, (old, new) in sorted(judged.items())
            if old != new
        ),
        table={
            old.value: {
                new.value: sum(pair == (old, new) for pair in judged.values()) for new in Label
            }
            for old in Label
        },
    )


def canary_report(
    rows: Sequence[Row], line: LineKey, known: Sequence[Entry], canary: Entry
) -> Report | None:
    """The report on a canary against what was live meanwhile; None when it judged nothing.

    The baseline are the parts that the canary could have got: of its cameras and products, with a
    serial when it has a share, and from its first decision to its last one.
    """
    name, scope = canary.release_of(line), canary.scope or Scope()
    new = [row for row in rows if row["release"] == name]
    live = ledger.live(known[: canary.number])
    if not new or live is None:
        return None
    first, last = (choose(_moment(row) for row in new) for choose in (min, max))
    old = [
        row
        for row in rows
        if row["bundle"] == live.bundle
        and first <= _moment(row) <= last
        and (scope.share >= 1 or _could_have_got(row, scope))
    ]
    notes = [f"the canary answered {scope}"]
    if scope.share >= 1:
        notes.append("no chance drew its parts: cameras or products differ as well as releases")
    before, after = _by_part(old), _by_part(new)
    differences: tuple[Difference, ...] = ()
    if before and after:
        differences = tuple(unpaired(list(before.values()), list(after.values())))
    else:
        notes.append("the live release answered no comparable part meanwhile")
    return Report(
        kind="canary",
        old=live.bundle,
        new=canary.bundle,
        releases=(*_names(old, "release"), name),
        parts=(len(before), len(after)),
        frames=(len(old), len(new)),
        differences=differences,
        notes=tuple(notes),
    )


def _could_have_got(row: Row, scope: Scope) -> bool:
    return (
        bool(row["serial"])
        and (not scope.cameras or row["camera"] in scope.cameras)
        and (not scope.products or row["product"] in scope.products)
    )


def _by_part(rows: Sequence[Row]) -> dict[str, Label]:
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(_part(row), []).append(row)
    return {part: _worst(each, "verdict") for part, each in parts.items()}


def _part(row: Row) -> str:
    """A frame without a serial is a part of its own."""
    return str(row["serial"] or f"frame {row['frame_id']}")


def _worst(rows: Sequence[Row], verdict: str) -> Label:
    return worst(Label(row[verdict]) for row in rows)


def _changed(part: str, rows: Sequence[Row], old: Label, new: Label) -> Changed:
    """Scores of the frame that had the higher one: scores rise with badness."""
    worst_row = max(rows, key=lambda row: max(row["live_score"], row["shadow_score"]))
    return Changed(part, len(rows), old, new, worst_row["live_score"], worst_row["shadow_score"])


def _names(rows: Sequence[Row], column: str) -> tuple[str, ...]:
    return tuple(sorted({str(row[column]) for row in rows}))


def _moment(row: Row) -> datetime:
    """When the frame was received: text in the spool, a time in a table."""
    value = row["received_at"]
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
