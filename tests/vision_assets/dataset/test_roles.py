"""Roles keep their shares, never split a group and never change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_assets.config import SplitSettings
from vision_assets.dataset.roles import ROLES, assign_roles, quotas

START = datetime(2026, 1, 1, tzinfo=UTC)
SPLIT = SplitSettings()


def frames_of(groups: list[tuple[str, str]]) -> pl.DataFrame:
    """Two frames per (group, stratum), in capture order."""
    rows = [
        {
            "frame_id": f"{group}-{k}",
            "group": group,
            "stratum": stratum,
            "captured_at": START + timedelta(minutes=i, seconds=k),
        }
        for i, (group, stratum) in enumerate(groups)
        for k in range(2)
    ]
    return pl.DataFrame(rows)


def roles_of(frames: pl.DataFrame, earlier: dict[str, str] | None = None) -> dict[str, str]:
    return dict(assign_roles(frames, SPLIT, earlier or {}).frames.select("frame_id", "role").rows())


strata = st.sampled_from(["good", "crack", "pit"])


@settings(max_examples=60, deadline=None)
@given(st.lists(strata, min_size=1, max_size=60), st.integers(0, 60))
def test_no_group_is_split_and_no_role_ever_changes(found: list[str], cut: int) -> None:
    groups = [(f"g{i:03d}", stratum) for i, stratum in enumerate(found)]
    everything = frames_of(groups)
    early = everything.head(2 * min(cut, len(groups)))
    first = roles_of(early) if len(early) else {}
    second = roles_of(everything, first)
    assert {name: second[name] for name in first} == first
    for group, _ in groups:
        assert second[f"{group}-0"] == second[f"{group}-1"]


@given(
    st.integers(0, 500),
    st.lists(st.integers(0, 200), min_size=4, max_size=4),
)
def test_quotas_place_every_group_once(new: int, have: list[int]) -> None:
    counts = quotas(new, have, [0.5, 0.1, 0.15, 0.25])
    assert sum(counts) == new
    assert min(counts) >= 0


def test_shares_hold_within_each_class_and_the_newest_are_tested() -> None:
    groups = [(f"g{i:03d}", "crack" if i % 5 == 0 else "good") for i in range(200)]
    frames = assign_roles(frames_of(groups), SPLIT, {}).frames.unique("group")
    for stratum, total in (("good", 160), ("crack", 40)):
        part = frames.filter(pl.col("stratum") == stratum)
        counts = {role: len(part.filter(pl.col("role") == role)) for role in ROLES}
        assert counts == {
            "train": total // 2,
            "tune": total // 10,
            "calibrate": total * 15 // 100,
            "test": total // 4,
        }
        newest_trained = part.filter(pl.col("role") == "train")["captured_at"].max()
        oldest_tested = part.filter(pl.col("role") == "test")["captured_at"].min()
        assert newest_trained < oldest_tested  # type: ignore[operator]


def test_small_deliveries_fill_every_role_in_time() -> None:
    earlier: dict[str, str] = {}
    groups: list[tuple[str, str]] = []
    for i in range(40):
        groups.append((f"g{i:03d}", "crack"))
        earlier = roles_of(frames_of(groups), earlier)
    counts = {role: sum(value == role for value in earlier.values()) // 2 for role in ROLES}
    assert counts == {"train": 20, "tune": 4, "calibrate": 6, "test": 10}


def test_a_group_that_joins_two_roles_leaves_the_evaluation_roles() -> None:
    frames = frames_of([("joined", "good"), ("alone", "good")])
    earlier = {"joined-0": "test", "joined-1": "calibrate", "alone-0": "test"}
    assignment = assign_roles(frames, SPLIT, earlier)
    roles = dict(assignment.frames.select("frame_id", "role").rows())
    assert roles == {"joined-0": "train", "joined-1": "train", "alone-0": "test", "alone-1": "test"}
    assert list(assignment.withdrawn) == ["joined"]
    assert (assignment.inherited, assignment.given) == (1, 0)


def test_the_class_of_a_mixed_group_is_its_defect() -> None:
    frames = frames_of([(f"g{i}", "good") for i in range(8)])
    mixed = frames.with_columns(
        pl.when(pl.col("frame_id").str.ends_with("-1"))
        .then(pl.lit("crack"))
        .otherwise("stratum")
        .alias("stratum")
    )
    assert set(roles_of(mixed).values()) == {"train", "calibrate", "test", "tune"}
