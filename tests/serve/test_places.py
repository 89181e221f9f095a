"""A line more or less never leaves decisions behind in silence: through the real command."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from serve.client import Client
from serve.places import require_nothing_left
from serve.protocol import inspection_v1_pb2 as pb
from serve.replay import read
from store.errors import Conflict
from store.keys import LineKey
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.running import LINE, Process, promote, settings_for
from tests.serve.test_cli_run import run_once

SECOND = LineKey("turin", "press-4")


def inspect(process: Process) -> None:
    with Client(process.address) as client:
        client.stub.Inspect(pb.Frame(encoded=frame(0.9), line=str(LINE)))


def refusal(folder: Path, *lines: LineKey) -> str:
    options = [word for line in lines for word in ("--line", line)]
    given = ("--store", folder / "store", "--spool", folder / "spool", "--cache", folder / "cache")
    done: subprocess.CompletedProcess[str] = run_once(*given, *options, "--listen", "127.0.0.1:0")
    (said,) = done.stderr.splitlines()
    return said


def test_a_second_line_does_not_leave_the_first_one_s_decisions(
    tmp_path: Path, store: Store
) -> None:
    promote(store)
    promote(store, line=SECOND)
    process = Process(tmp_path)
    inspect(process)
    process.end(signal.SIGTERM)
    said = refusal(tmp_path, LINE, SECOND)
    spool, cache = tmp_path / "spool", tmp_path / "cache"
    assert f"{spool} holds the spool of a server of one line" in said
    assert f"move all that is in it to {spool}/SITE/LINE of its line" in said
    assert f"to {cache}/SITE/LINE" in said
    assert f"to {spool}/SITE/LINE-kept" in said
    for old in (spool, cache, tmp_path / "spool-kept"):  # as it says
        old.rename(tmp_path / "old")
        new = spool / f"{LINE}-kept" if old.name == "spool-kept" else old / str(LINE)
        new.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "old").rename(new)
    process = Process(tmp_path, "--line", str(LINE), "--line", str(SECOND))
    inspect(process)
    process.end(signal.SIGTERM)
    assert [row["sequence"] for row in read(spool / str(LINE))] == [1, 2]
    assert f"{spool / str(LINE)} holds the spool of line {LINE}" in refusal(tmp_path, LINE)


def test_folders_that_are_not_given_are_the_same_with_any_number_of_lines(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"{1:016d}.spool").write_bytes(b"")
    with pytest.raises(Conflict, match="move all that is in it"):
        require_nothing_left(settings_for(tmp_path, lines=f"{LINE},{SECOND}"))
    require_nothing_left(settings_for(tmp_path))
    require_nothing_left(settings_for(tmp_path, lines=f"{LINE},{SECOND}", spool=None, cache=None))
