"""The shipping process: for each line and place a thread, which go on when another one cannot.

It is a process of its own because what it does (decoding rows, writing Parquet) holds the
interpreter's lock for tens of milliseconds at a time, which frames would wait for, and because a
fault in a library of a place must not end the line. Its priority is low: a tenth of a core's share
beside a busy engine, which is enough for 2,000 rows a second.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from serve.claim import claim
from serve.shipping.cursor import FOLDER
from serve.shipping.landing import Lander
from serve.shipping.plan import Plan, password
from serve.shipping.shipper import Shipper, Sink
from store.errors import Conflict, InvalidInput, VisionError
from store.keys import LineKey
from store.root import Store

if TYPE_CHECKING:
    from serve.shipping.plan import LinePlan

_log = logging.getLogger(__name__)

_NICE = 10
_CLAIM_S = 0.2


def run(plan: Plan, stopping: threading.Event) -> None:
    """Ship until told to stop; then what is there by then, where that is possible.

    Raises:
        VisionError: when the plan cannot be followed at all.
    """
    os.nice(_NICE)
    store = Store(plan.store)
    threads = []
    for line in plan.lines:
        if not _claim_soon(line.spool, stopping):
            return
        for shipper in shippers(plan, line, store):
            threads.append(threading.Thread(target=shipper.run, args=(stopping,)))
        if line.kept is not None:
            lander = Lander(line.kept, store, LineKey.parse(line.line), plan.host)
            threads.append(threading.Thread(target=lander.run, args=(stopping,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def drain(plan: Plan) -> dict[str, dict[str, int]]:
    """Ship everything that is there now.

    Returns:
        By line, for each place how many rows, and how many kept frames (``frames``).

    Raises:
        Conflict: when a server ships the same spool.
        VisionError, OSError: when a place cannot be reached; the others have been served.
    """
    store, faults = Store(plan.store), []
    done: dict[str, dict[str, int]] = {}
    for line in plan.lines:
        lock = _claim(line.spool)
        counts = done[line.line] = {}
        for name, work in _work(plan, line, store):
            try:
                counts[name] = work.drain()
            except (VisionError, OSError) as error:
                faults.append(f"{line.line} to {name}: {error}")
        os.close(lock)
    if faults:
        raise InvalidInput.listing("not everything was shipped:", faults)
    return done


def _work(plan: Plan, line: LinePlan, store: Store) -> Iterator[tuple[str, Shipper | Lander]]:
    yield from zip(plan.sinks, shippers(plan, line, store), strict=True)
    if line.kept is not None:
        yield "frames", Lander(line.kept, store, LineKey.parse(line.line), plan.host)


def shippers(plan: Plan, line: LinePlan, store: Store) -> Sequence[Shipper]:
    """One for each place, in the order of `Plan.sinks`."""
    return [Shipper(line.spool, sink) for sink in _sinks(plan, line, store)]


def _sinks(plan: Plan, line: LinePlan, store: Store) -> Iterator[Sink]:
    """The places; a library is loaded only when its place is wanted."""
    from serve.shipping.parquet import ParquetSink

    key = LineKey.parse(line.line)
    yield ParquetSink(store, key, plan.every_s)
    if plan.postgres:
        from serve.shipping.postgres import PostgresSink

        yield PostgresSink(
            plan.postgres.dsn, partial(password, "postgres", plan.postgres.password_file)
        )
    if plan.mqtt:
        from serve.shipping.mqtt import MqttSink

        yield MqttSink(plan.mqtt, key, plan.host)


def _claim(spool: Path) -> int:
    advice = "stop the server first; while it runs it ships by itself"
    return claim(spool / FOLDER, "the shipping of this line", advice)


def _claim_soon(spool: Path, stopping: threading.Event) -> bool:
    """Take the spool's shipping, waiting for a process that is about to end; False when stopped."""
    while True:
        try:
            _claim(spool)
            return True
        except Conflict:
            if stopping.wait(_CLAIM_S):
                return False
