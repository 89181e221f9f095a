"""Lines and batches as Dagster partitions. The store keeps the batches; these are their keys."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

import dagster as dg
from sqlalchemy.exc import IntegrityError

from store.errors import Conflict
from store.keys import BatchKey

lines = dg.DynamicPartitionsDefinition(name="lines")
batches = dg.DynamicPartitionsDefinition(name="batches")

# A line depends on all its batches. A mapping of our own is not supported by Dagster's webserver
# and daemon; the assets of a line filter by prefix themselves.
every_batch = dg.AllPartitionMapping()

_TRIES = 5


def register(instance: dg.DagsterInstance, keys: Iterable[BatchKey]) -> None:
    """Make batches and their lines known to Dagster; what is known already is left alone."""
    wanted = sorted(set(keys))
    _add(instance, "batches", [str(key) for key in wanted])
    _add(instance, "lines", sorted({str(key.line_key) for key in wanted}))


def _add(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> None:
    """Add keys; Dagster looks which are new and inserts them without holding a lock in between."""
    for _ in range(_TRIES):
        with contextlib.suppress(IntegrityError):
            instance.add_dynamic_partitions(name, keys)
            return
    raise Conflict(
        f"other processes registered {name} at the same moments {_TRIES} times; try again"
    )
