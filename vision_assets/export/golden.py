"""The golden frames: a few test frames that tell quickly whether an engine answers like torch.

The line replays them before a release answers its first frame, so they are few, cover what the
bundle knows, and lie on both sides of its thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from inspection.decision import Label, Rule
from inspection.evidence import Golden
from vision_assets.export.parity import Reference

MOST = 24

# Nearer to a threshold than this, two engines that are both right may give two verdicts.
_MARGIN = 0.002


def choose(rows: pl.DataFrame, rule: Rule) -> list[str]:
    """Frame ids of at most `MOST` golden frames, sorted; equal rows give equal choices.

    In this order while there is room: the median frame of each verdict, the frames next to each
    threshold on either side, the median frame of each class and of good, the lowest and the
    highest score, the first frame of each camera and product.

    Args:
        rows: Test frames with ``frame_id``, ``camera``, ``product``, ``label``, ``classes``, ``p``
            and ``verdict``.
        rule: The bundle's.
    """
    ordered = rows.sort("p", "frame_id")
    steady = _steady(ordered, rule)
    wishes = _wishes(ordered if steady.is_empty() else steady, rule)
    return sorted(list(dict.fromkeys(wishes))[:MOST])


def read(reference: Reference, chosen: Sequence[str]) -> list[Golden]:
    """The chosen frames with their bytes and torch's answers, in the order given."""
    known = {row["frame_id"]: row for row in reference.rows.iter_rows(named=True)}
    return [_golden(known[frame_id], data) for frame_id, data in reference.read(chosen)]


def _golden(row: Mapping[str, Any], data: bytes) -> Golden:
    return Golden(
        frame_id=row["frame_id"],
        data=data,
        camera=row["camera"] or "",
        product=row["product"] or "",
        label=Label(row["verdict"]),
        score=row["score"],
        class_scores=tuple(row["class_scores"]),
    )


def _steady(ordered: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Frames whose calibrated score keeps a margin from every threshold of theirs."""
    keep = [
        all(abs(p - limit) >= _MARGIN for limit in _limits(rule, product, camera))
        for p, product, camera in ordered.select("p", "product", "camera").iter_rows()
    ]
    return ordered.filter(pl.Series(keep, dtype=pl.Boolean))


def _wishes(ordered: pl.DataFrame, rule: Rule) -> Iterator[str]:
    for verdict in Label:
        yield from _median(ordered.filter(pl.col("verdict") == verdict.value))
    for limit in sorted(set(_limits(rule, "", ""))):
        yield from ordered.filter(pl.col("p") < limit).tail(1)["frame_id"]
        yield from ordered.filter(pl.col("p") >= limit).head(1)["frame_id"]
    for name in sorted(set(ordered["classes"].explode().drop_nulls())):
        yield from _median(ordered.filter(pl.col("classes").list.contains(name)))
    yield from _median(ordered.filter(pl.col("label") == "good"))
    yield from ordered.head(1)["frame_id"]
    yield from ordered.tail(1)["frame_id"]
    for column in ("camera", "product"):
        yield from ordered.unique(column, keep="first", maintain_order=True)["frame_id"]


def _limits(rule: Rule, product: str | None, camera: str | None) -> tuple[float, float]:
    chosen = rule.thresholds(product or "", camera or "")
    return chosen.pass_below, chosen.reject_from


def _median(ordered: pl.DataFrame) -> list[str]:
    names = ordered["frame_id"]
    return [names[(len(names) - 1) // 2]] if len(names) else []
