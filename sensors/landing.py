"""The sensor `landing`: complete landing batches become partitions and runs."""

from collections.abc import Iterator, Sequence

import dagster as dg

from jobs.batch import batch_job
from resources.store import StoreResource
from store import batches, events, landing
from store.errors import InvalidInput
from store.keys import BatchKey, LineKey
from store.landing import Delivery
from store.root import Store

# A tick must end within Dagster's 60 s and a queue should stay readable.
MOST_RUNS_A_TICK = 200
_MOST_FAULTS = 20


def waiting(store: Store) -> list[tuple[BatchKey, str]]:
    """Complete landing batches that are not done as they are now, with their deliveries' identity.

    A batch whose mark cannot be read is left out; `unreadable` names it.
    """
    return [
        (key, mark.identity)
        for key, mark in _marks(store, None)
        if isinstance(mark, Delivery) and not _is_done(store, key, mark.identity)
    ]


def unreadable(store: Store, line: LineKey | None) -> list[str]:
    """What is wrong with deliveries that cannot be taken in, a sentence a batch.

    Args:
        store: Where the landing area is.
        line: Whose batches; None for all.
    """
    marks = [
        f"{key}: {mark}" for key, mark in _marks(store, line) if isinstance(mark, InvalidInput)
    ]
    return [*landing.misnamed(store, line), *marks]


def _marks(
    store: Store, line: LineKey | None
) -> Iterator[tuple[BatchKey, Delivery | InvalidInput]]:
    """What the mark of each batch says, or why it cannot be read."""
    for key in landing.complete_batches(store, line):
        try:
            mark = landing.delivery(store, key)
        except InvalidInput as error:
            yield key, error
        else:
            if mark is not None:
                yield key, mark


def _is_done(store: Store, key: BatchKey, identity: str) -> bool:
    """Whether the frames and the labels of this very delivery are in the store."""
    manifest = batches.manifest(store, key)
    is_ingested = manifest is not None and manifest.delivery == identity
    return is_ingested and events.recorded(store, key) == identity


def requests(found: Sequence[tuple[BatchKey, str]], faults: Sequence[str] = ()) -> dg.SensorResult:
    """Partitions to register and runs to start; Dagster starts a delivery's run key once.

    Args:
        found: As `waiting` gives them.
        faults: As `unreadable` gives them; told when there is nothing to start.
    """
    chosen = found[:MOST_RUNS_A_TICK]
    lines = sorted({str(key.line_key) for key, _ in chosen})
    said = ["no new delivery in the landing area", *faults[:_MOST_FAULTS]]
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"{key}:{identity}", partition_key=str(key))
            for key, identity in chosen
        ],
        dynamic_partitions_requests=[
            dg.AddDynamicPartitionsRequest("batches", [str(key) for key, _ in chosen]),
            dg.AddDynamicPartitionsRequest("lines", lines),
        ]
        if chosen
        else [],
        skip_reason=None if chosen else dg.SkipReason("; ".join(said)),
    )


@dg.sensor(
    name="landing",
    job=batch_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Picks up complete landing batches, registers them and starts their ingest.",
)
def landing_sensor(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
    """See `waiting`, `unreadable` and `requests`."""
    opened = store.open()
    faults = unreadable(opened, None)
    for fault in faults[:_MOST_FAULTS]:
        context.log.warning(fault)
    return requests(waiting(opened), faults)
