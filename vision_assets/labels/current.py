"""The current label of a frame: a view over its events with one stated rule.

An event counts unless another that counts retracts it. Of the events that count and give a label,
the one of the highest source wins (adjudicated, reviewed, human, imported, model); among equals
the latest recorded; among those the highest event id. A frame whose events are all retracted has
no label. The order in which events are stored does not matter.
"""

from __future__ import annotations

import polars as pl

from store.events import SOURCES


def current(events: pl.DataFrame) -> pl.DataFrame:
    """The current label of each frame: one row per ``frame_id``, sorted by it.

    Args:
        events: ``event_id``, ``frame_id``, ``recorded_at``, ``source``, ``label``, ``retracts`` and
            any further columns of `store.events`, in any order of rows.

    Returns:
        The winning events with the columns of `events` but ``retracts``.

    Raises:
        polars.exceptions.InvalidOperationError: when an event's source is not in `SOURCES`.
    """
    void = _counting_retractions(events).select(event_id="retracts")
    return (
        events.join(void, on="event_id", how="anti")
        .filter(pl.col("label").is_not_null())
        .with_columns(_rank=pl.col("source").cast(pl.Enum(SOURCES)).to_physical())
        .sort(
            "frame_id",
            "_rank",
            "recorded_at",
            "event_id",
            descending=[False, False, True, True],
        )
        .unique("frame_id", keep="first", maintain_order=True)
        .drop("_rank", "retracts")
    )


def _counting_retractions(events: pl.DataFrame) -> pl.DataFrame:
    """Retractions that count: whatever retracts them is itself retracted by one that counts.

    Each pass settles one more link of a chain, so their number bounds the passes. Retractions in a
    circle never count.
    """
    every = events.select("event_id", "retracts").filter(pl.col("retracts").is_not_null()).unique()
    counting = every.clear()
    while True:
        possible = every.join(counting.select(event_id="retracts"), on="event_id", how="anti")
        following = every.join(possible.select(event_id="retracts"), on="event_id", how="anti")
        if following.height == counting.height:
            return counting
        counting = following
