"""A hundred swaps under load: no request fails, and every answer fits the release it names."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from serve.replay import read
from store import ledger
from store.ledger import Draft
from store.root import Store
from tests.data.bundle.generate import frame, write_bundle
from tests.serve.running import ENGINES, LINE, Process

SWAPS, CLIENTS = 100, 4
NEW_EVERY = 10


class Caller:
    """A client that asks until it is stopped, and keeps release and verdict of each answer."""

    def __init__(self, address: str) -> None:
        self.answers: list[tuple[int, int]] = []
        self.error: Exception | None = None
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def waits_for(self, number: int) -> bool:
        """Whether its last answer is another release's."""
        return self.error is None and (not self.answers or self.answers[-1][0] != number)

    def _ask(self) -> None:
        request = pb.Frame(encoded=frame(0.9))
        try:
            with Client(self._address) as client:
                while not self._stop.wait(0.001):
                    result = client.stub.Inspect(request, timeout=60).result
                    number = int(result.release.rpartition("@")[2])
                    self.answers.append((number, result.verdict))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            self.error = error


class Line:
    """Makes releases, of which every `NEW_EVERY`-th is a new bundle and the others are known."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._older = self._newer = self._bundle(0)
        self.passes: dict[int, bool] = {}
        self.promote(self._newer)

    def swap(self, count: int) -> int:
        following = self._older if count % NEW_EVERY else self._bundle(count + 1)
        self._older, self._newer = self._newer, following
        return self.promote(following)

    def promote(self, bundle: tuple[str, bool]) -> int:
        name, is_passing = bundle
        draft = Draft(action="promote", bundle=name, who="tester")
        number = ledger.append(self._store, LINE, draft).number
        self.passes[number] = is_passing
        return number

    def _bundle(self, seed: int) -> tuple[str, bool]:
        bias = 0.0 if (seed // NEW_EVERY) % 2 else -40.0
        made = write_bundle(self._store, LINE, seed=seed, bias=bias, engines=ENGINES)
        return made.name, bias < 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_swaps_under_load(tmp_path: Path, store: Store) -> None:
    line = Line(store)
    process = Process(tmp_path)
    callers = [Caller(process.address) for _ in range(CLIENTS)]
    for count in range(SWAPS):
        number = line.swap(count)
        while any(caller.waits_for(number) for caller in callers):
            time.sleep(0.002)
    for caller in callers:
        caller.stop()
    assert process.end(signal.SIGTERM) == 0
    assert [caller.error for caller in callers] == [None] * CLIENTS
    for caller in callers:
        numbers = [number for number, _ in caller.answers]
        assert numbers == sorted(numbers)  # nobody goes back to a release that is over
        assert set(numbers) == set(line.passes)
        expected = [pb.PASS if line.passes[number] else pb.REJECT for number in numbers]
        assert [verdict for _, verdict in caller.answers] == expected
    rows = list(read(tmp_path / "spool"))
    assert len(rows) == sum(len(caller.answers) for caller in callers)
    assert not [row for row in rows if "error" in row]
    assert len(ledger.entries(store, LINE)) == SWAPS + 1  # none was fallen back from
