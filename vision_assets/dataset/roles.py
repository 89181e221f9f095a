"""Roles: which groups train, tune, calibrate or test. Given once, then kept.

A group that an earlier snapshot gave a role keeps it. New groups fill what each class lacks of its
shares, in contiguous blocks of capture order: the oldest train, the newest test, so that a model is
judged on what came after what it has learnt from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from vision_assets.config import SplitSettings

ROLES = ("train", "tune", "calibrate", "test")


@dataclass(frozen=True)
class Assignment:
    """Frames with their roles.

    Attributes:
        frames: The frames given, with a column ``role``.
        inherited: How many groups kept an earlier role.
        given: How many groups got one now.
        withdrawn: Groups whose frames had different roles; they left the evaluation roles.
    """

    frames: pl.DataFrame
    inherited: int
    given: int
    withdrawn: Sequence[str]


def assign_roles(
    frames: pl.DataFrame, split: SplitSettings, earlier: Mapping[str, str]
) -> Assignment:
    """Give every frame the role of its group.

    Args:
        frames: Columns ``frame_id``, ``group``, ``stratum`` and ``captured_at``.
        split: Shares of groups per role, kept within each stratum.
        earlier: Role by frame id, the last that a snapshot gave it; empty for the first.
    """
    old = pl.Series("old_role", [earlier.get(name) for name in frames["frame_id"]], dtype=pl.String)
    groups = (
        frames.with_columns(old)
        .group_by("group")
        .agg(
            pl.col("old_role").drop_nulls().unique().sort().alias("old_roles"),
            pl.col("stratum").filter(pl.col("stratum") != "good").sort().first().alias("defect"),
            pl.col("captured_at").min().alias("first_seen"),
        )
        .with_columns(pl.col("defect").fill_null("good").alias("stratum"))
        .sort("first_seen", "group")
    )
    kept = groups.filter(pl.col("old_roles").list.len() == 1)
    mixed = groups.filter(pl.col("old_roles").list.len() > 1)
    roles = {group: old_roles[0] for group, old_roles in kept.select("group", "old_roles").rows()}
    roles |= dict.fromkeys(mixed["group"], "train")
    new = groups.filter(pl.col("old_roles").list.len() == 0)
    for stratum in groups["stratum"].unique().sort():
        have = [roles[group] for group in _of(groups, stratum) if group in roles]
        roles |= _fill(_of(new, stratum), have, split)
    column = pl.Series("role", [roles[group] for group in frames["group"]], dtype=pl.String)
    return Assignment(frames.with_columns(column), len(kept), len(new), mixed["group"].to_list())


def _of(groups: pl.DataFrame, stratum: str) -> list[str]:
    return groups.filter(pl.col("stratum") == stratum)["group"].to_list()


def _fill(new: Sequence[str], have: Sequence[str], split: SplitSettings) -> dict[str, str]:
    """Roles for `new` groups (oldest first) so that shares approach those of `split`."""
    counts = quotas(len(new), [have.count(role) for role in ROLES], _shares(split))
    roles = [role for role, count in zip(ROLES, counts, strict=True) for _ in range(count)]
    return dict(zip(new, roles, strict=True))


def _shares(split: SplitSettings) -> list[float]:
    rest = 1 - split.tune - split.calibrate - split.test
    return [rest, split.tune, split.calibrate, split.test]


def quotas(new: int, have: Sequence[int], shares: Sequence[float]) -> list[int]:
    """How many of `new` groups go to each role: what is lacking, by largest remainder.

    Args:
        new: Number of groups to place.
        have: Groups that each role has already.
        shares: Share of each role, summing to 1.

    >>> quotas(4, [0, 0, 0, 0], [0.5, 0.1, 0.15, 0.25])
    [2, 0, 1, 1]
    >>> quotas(1, [5, 1, 2, 0], [0.5, 0.1, 0.15, 0.25])
    [0, 0, 0, 1]
    """
    total = new + sum(have)
    lacking = [max(0.0, share * total - count) for share, count in zip(shares, have, strict=True)]
    scale = new / sum(lacking) if sum(lacking) else 0.0
    exact = [lack * scale for lack in lacking]
    counts = [int(value + 1e-9) for value in exact]
    order = sorted(range(len(exact)), key=lambda i: (counts[i] - exact[i], -shares[i]))
    for index in order[: new - sum(counts)]:
        counts[index] += 1
    return counts
