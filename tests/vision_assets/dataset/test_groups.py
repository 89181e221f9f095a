"""Frames that belong together stay together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from vision_assets.dataset.groups import BATCHES_TO_SPLIT_BY, assign_groups

START = datetime(2026, 1, 1, tzinfo=UTC)


def table(rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    """Frames with defaults for what a row does not say."""
    full = [
        {
            "frame_id": f"f{i}",
            "content_hash": f"h{i}",
            "batch": "b1",
            "captured_at": START + timedelta(seconds=i),
            "serial": None,
            "declared_group": None,
            "stratum": "good",
            **row,
        }
        for i, row in enumerate(rows)
    ]
    schema = {"serial": pl.String, "declared_group": pl.String}
    return pl.DataFrame(full, schema_overrides=schema)


def groups_of(frames: pl.DataFrame, earlier: dict[str, str] | None = None) -> dict[str, str]:
    return dict(assign_groups(frames, earlier or {}).select("frame_id", "group").rows())


def test_frames_of_one_part_are_one_group() -> None:
    found = groups_of(table([{"serial": "a"}, {"serial": "a", "batch": "b2"}, {"serial": "b"}]))
    assert found["f0"] == found["f1"] != found["f2"]


def test_part_group_and_bytes_join_transitively() -> None:
    found = groups_of(
        table(
            [
                {"serial": "a", "declared_group": "g"},
                {"declared_group": "g", "content_hash": "same"},
                {"serial": "z", "content_hash": "same"},
                {"serial": "other"},
            ]
        )
    )
    assert found["f0"] == found["f1"] == found["f2"] == "part:a"
    assert found["f3"] == "part:other"


def test_one_batch_is_split_into_contiguous_blocks_within_each_class() -> None:
    rows = [{"stratum": "crack" if i % 4 == 0 else "good"} for i in range(200)]
    frames = assign_groups(table(rows), {})
    for stratum in ("good", "crack"):
        groups = frames.filter(pl.col("stratum") == stratum)["group"].to_list()
        assert len(set(groups)) == 20
        changes = sum(a != b for a, b in itertools.pairwise(groups))
        assert changes == 19, "blocks are not contiguous in capture order"


def test_fewer_frames_than_blocks_gives_a_block_each() -> None:
    assert len(set(groups_of(table([{}] * 5)).values())) == 5


def test_many_batches_are_split_by_batch() -> None:
    frames = table([{"batch": f"b{i // 2}"} for i in range(2 * BATCHES_TO_SPLIT_BY)])
    assert set(groups_of(frames).values()) == {f"batch:b{i}" for i in range(BATCHES_TO_SPLIT_BY)}


def test_a_grown_batch_keeps_its_old_blocks_and_gets_new_ones() -> None:
    rows = table([{} for _ in range(60)])
    first = groups_of(rows.head(40))
    second = groups_of(rows, first)
    assert {name: second[name] for name in first} == first
    fresh = {second[f"f{i}"] for i in range(40, 60)}
    assert fresh.isdisjoint(first.values())


def test_a_batch_in_blocks_stays_in_blocks_when_many_batches_have_come() -> None:
    first = groups_of(table([{"batch": "b0"} for _ in range(10)]))
    rows = [{"batch": "b0"} for _ in range(12)]
    rows += [{"batch": f"b{i}"} for i in range(1, BATCHES_TO_SPLIT_BY)]
    second = groups_of(table(rows), first)
    assert {name: second[name] for name in first} == first
    assert second["f11"].startswith("block:b0:")
    assert second["f12"] == "batch:b1"


def test_order_of_rows_does_not_matter() -> None:
    rows = table(
        [{"serial": f"s{i % 7}", "stratum": "pit" if i % 3 else "good"} for i in range(50)]
    )
    assert groups_of(rows) == groups_of(rows.sample(fraction=1, shuffle=True, seed=3))


def test_blocks_are_kept_whatever_the_order_of_rows() -> None:
    frames = table([{"stratum": "crack" if i % 4 == 0 else "good"} for i in range(100)])
    first = groups_of(frames)
    assert groups_of(frames.reverse(), first) == first
