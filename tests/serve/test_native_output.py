"""Lines of native libraries among the logs: real libpng warnings, real deaths."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from serve import native_output
from serve.client import Client
from serve.native_output import FILE
from serve.protocol import inspection_v1_pb2 as pb
from store.root import Store
from tests.inspection.test_bombs import png
from tests.serve.running import Process, promote

SURPLUS = png(48, 48, zlib.compress((b"\0" + bytes(48 * 3)) * 48 + bytes(1000)))
WRITES = """
import logging, os, sys
from pathlib import Path
from serve import logs, native_output
logs.set_up("info")
with native_output.told(Path(sys.argv[1])):
    os.write(2, b"free(): invalid pointer\\n")
    print("told as before", file=sys.stderr)
    exec(sys.argv[2])
os.write(2, b"as before\\n")
"""


def write(file: Path, then: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WRITES, str(file), then]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_server_writes_json_only_whatever_its_libraries_say(tmp_path: Path, store: Store) -> None:
    promote(store)
    process = Process(tmp_path)
    with Client(process.address) as client:
        for _ in range(3):
            assert client.stub.Inspect(pb.Frame(encoded=SURPLUS)).result.release
    assert process.end(signal.SIGTERM) == 0
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    said = [record["said"] for record in records if record["logger"] == native_output.__name__]
    assert said == [{"libpng warning: IDAT: Too much image data": 3}]


def test_what_is_written_is_told_and_all_is_as_before_in_the_end(tmp_path: Path) -> None:
    done = write(tmp_path / "new" / FILE)
    assert done.returncode == 0
    first, told, last = done.stderr.splitlines()
    assert (first, last) == ("told as before", "as before")
    assert json.loads(told)["said"] == {"free(): invalid pointer": 1}
    assert (tmp_path / "new" / FILE).read_bytes() == b""


@pytest.mark.parametrize("how", ["os.abort()", "os.kill(os.getpid(), 9)"])
def test_last_words_are_told_by_the_next_start(tmp_path: Path, how: str) -> None:
    died = write(tmp_path / FILE, how)
    assert died.returncode < 0
    assert ("Fatal Python error" in died.stderr) == (how == "os.abort()")  # at once, where it was
    record = json.loads(write(tmp_path / FILE).stderr.splitlines()[0])
    assert (record["level"], record["said"]) == ("error", "free(): invalid pointer")


def test_flood_is_told_in_part_and_the_file_stays_small(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    descriptor = os.open(tmp_path / FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"line\n" * 50_000)
    place = native_output._tell(descriptor, 0)
    assert (place, os.fstat(descriptor).st_size) == (0, 0)
    os.write(descriptor, b"later\n")
    place = native_output._tell(descriptor, place)
    assert native_output._tell(descriptor, place) == place == 6
    os.close(descriptor)
    flood, later = (vars(record) for record in caplog.records)
    assert flood["lines"] + flood["unread_bytes"] // 5 == pytest.approx(50_000, abs=1)
    assert later["said"] == {"later": 1}


def test_file_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = write(tmp_path / "taken" / FILE)
    assert done.returncode == 0
    assert "free(): invalid pointer" in done.stderr.splitlines()
    assert "not logged as JSON" in done.stderr
