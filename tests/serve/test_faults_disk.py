"""A disk that is full: no verdict without a record, and verdicts again as soon as there is room."""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serve.client import Client
from store.root import Store
from tests.serve.faults import Load, check_rows, running, until
from tests.serve.running import Process, promote


def fill_and_make_room(folder: Path, process: Process, make_room: Callable[[], None]) -> None:
    """Send frames until the disk is full, and after it; every answer has its row."""
    load = Load(process.address, "disk")
    until(lambda: "unavailable" in load.refused)
    with Client(process.address) as client:
        until(lambda: "make room" in client.info().spool.fault)
        make_room()
        load.wait_for(100)
        until(lambda: not client.info().spool.fault)
    load.stop()
    assert process.end(signal.SIGTERM) == 0
    assert set(load.refused) == {"unavailable"}
    check_rows(folder / "spool", load.answers)


def test_no_verdict_beyond_the_largest_file(tmp_path: Path, store: Store) -> None:
    promote(store)
    with running(tmp_path) as process:
        pid, none = process.child.pid, resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (100_000, none))

        def make_room() -> None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (none, none))

        fill_and_make_room(tmp_path, process, make_room)


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of 512 KiB at `place`; skips the test where it may not be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow  # a gate may run where nothing can be mounted
def test_no_verdict_on_a_full_disk(tmp_path: Path, store: Store) -> None:
    promote(store)
    with small_disk(tmp_path / "spool"), running(tmp_path) as process:

        def make_room() -> None:
            command = ["mount", "-o", "remount,size=64m", str(tmp_path / "spool")]
            subprocess.run(command, check=True)

        fill_and_make_room(tmp_path, process, make_room)
