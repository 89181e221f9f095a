"""The sensor `landing`: complete landing batches become partitions and runs."""

from collections.abc import Sequence

import dagster as dg

from jobs.batch import batch_job
from resources.store import StoreResource
from store import batches, events, landing
from store.errors import InvalidInput
from store.keys import BatchKey
from store.root import Store

# A tick must end within Dagster's 60 s and a queue should stay readable.
MOST_RUNS_A_TICK = 200


def waiting(store: Store) -> list[tuple[BatchKey, str]]:
    """Complete landing batches that are not done as they are now, each with its listing hash.

    A batch whose mark cannot be read is left out: its line's run says what is wrong with it.
    """
    found = []
    for key in landing.complete_batches(store):
        try:
            delivery = landing.delivery(store, key)
        except InvalidInput:
            continue
        if delivery and not _is_done(store, key, delivery.listing):
            found.append((key, delivery.listing))
    return found


def _is_done(store: Store, key: BatchKey, listing: str) -> bool:
    """Whether the frames and the labels of this very delivery are in the store."""
    manifest = batches.manifest(store, key)
    is_ingested = manifest is not None and manifest.delivery == listing
    return is_ingested and events.recorded(store, key) == listing


def requests(found: Sequence[tuple[BatchKey, str]]) -> dg.SensorResult:
    """Partitions to register and runs to start; Dagster starts a delivery's run key once."""
    chosen = found[:MOST_RUNS_A_TICK]
    lines = sorted({str(key.line_key) for key, _ in chosen})
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"{key}:{listing}", partition_key=str(key))
            for key, listing in chosen
        ],
        dynamic_partitions_requests=[
            dg.AddDynamicPartitionsRequest("batches", [str(key) for key, _ in chosen]),
            dg.AddDynamicPartitionsRequest("lines", lines),
        ]
        if chosen
        else [],
        skip_reason=None if chosen else dg.SkipReason("no new delivery in the landing area"),
    )


@dg.sensor(
    name="landing",
    job=batch_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Picks up complete landing batches, registers them and starts their ingest.",
)
def landing_sensor(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
    """See `waiting` and `requests`."""
    return requests(waiting(store.open()))
