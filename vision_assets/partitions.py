"""Lines and batches as Dagster partitions. The store keeps the batches; these are their keys."""

from __future__ import annotations

import contextlib
import warnings
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


def check(
    asset: str,
    name: str,
    partitions: dg.DynamicPartitionsDefinition,
    description: str,
    *,
    blocking: bool = False,
) -> dg.AssetCheckSpec:
    """A check of an asset that is kept for each of its partitions.

    Without partitions the UI shows the check of whichever line ran last. They are a preview in the
    Dagster that is pinned, which says so each time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name,
            asset=asset,
            partitions_def=partitions,
            blocking=blocking,
            description=description,
        )


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
