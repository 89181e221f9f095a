"""Lines and batches as Dagster partitions. The store keeps the batches; these are their keys."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from store.keys import BatchKey

lines = dg.DynamicPartitionsDefinition(name="lines")
batches = dg.DynamicPartitionsDefinition(name="batches")

# A line depends on all its batches. A mapping of our own is not supported by Dagster's webserver
# and daemon; the assets of a line filter by prefix themselves.
every_batch = dg.AllPartitionMapping()


def register(instance: dg.DagsterInstance, keys: Iterable[BatchKey]) -> None:
    """Make batches and their lines known to Dagster; what is known already is left alone."""
    wanted = sorted(set(keys))
    instance.add_dynamic_partitions("batches", [str(key) for key in wanted])
    instance.add_dynamic_partitions("lines", sorted({str(key.line_key) for key in wanted}))
