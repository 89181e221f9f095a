"""The host's clock steps while the line runs: nothing waits, nothing fails, no time is absurd."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from serve.replay import read
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.faults import Load, check_rows, running, until
from tests.serve.running import LINE, promote

_SOURCE = Path(__file__).with_name("shifted_clock.c")
_DAY_S = 86_400


class Clock:
    """The wall clock of the processes that are started now: right at first, then as it is set."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    def set(self, shift_s: int) -> None:
        """Make it wrong by so many seconds, at once; a file that processes have mapped."""
        with open(self._path, "r+b" if self._path.exists() else "wb") as stream:
            stream.write(shift_s.to_bytes(8, "little", signed=True))


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A wall clock that a test can set."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = tmp_path / "shifted_clock.so"
    command = [compiler, "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"]
    subprocess.run([str(word) for word in command], check=True)
    found = Clock(tmp_path / "shift")
    monkeypatch.setenv("SHIFTED_CLOCK", str(tmp_path / "shift"))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    return found


def wait_for_release(client: Client, name: str) -> None:
    until(lambda: client.info().release == name)


def wait_for_sync(client: Client, sequence: int) -> None:
    until(lambda: client.info().spool.synced_sequence >= sequence)


def test_stepping_clock_disturbs_nothing(tmp_path: Path, store: Store, clock: Clock) -> None:
    promote(store)
    with running(tmp_path) as process:
        load = Load(process.address, "clock", pause_s=0.02)
        with Client(process.address) as client:
            for number, step in enumerate((-7200, 30 * _DAY_S, -3650 * _DAY_S), 2):
                load.wait_for(30)
                clock.set(step)
                load.wait_for(30)
                answer = client.stub.Inspect(pb.Frame(encoded=frame(0.2)), timeout=60)
                assert 0 < answer.timings.total_ms < 60_000
                # The ledger is still looked at, and the spool still put on disk.
                promote(store, seed=number)
                wait_for_release(client, f"{LINE}@{number}")
                wait_for_sync(client, client.info().spool.next_sequence)
        load.stop()
        assert process.end(signal.SIGTERM) == 0
    assert not load.refused
    check_rows(tmp_path / "spool", load.answers)
    rows = list(read(tmp_path / "spool"))
    assert all(0 < row["total_ms"] < 60_000 for row in rows)
    assert len({str(row["received_at"])[:4] for row in rows}) > 1, "the clock did not step"
