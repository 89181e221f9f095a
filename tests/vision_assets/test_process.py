"""Work in a process of its own: what comes back, what is said when it dies, and when it must."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from store.errors import Unavailable, VisionError
from vision_assets.process import follow

CHILD = """
import os, sys, time
from store.errors import InvalidInput
from vision_assets.process import report

def work(progress):
    progress(str(os.getpid()), 0, 0)
    if sys.argv[1] == "sleep":
        time.sleep(60)
    if sys.argv[1] == "refuse":
        raise InvalidInput("take other frames")
    if sys.argv[1] == "die":
        print("the last words", flush=True)
        os._exit(3)
    return {"answer": 42}

sys.exit(report(work))
"""
PARENT = """
from vision_assets.process import follow
follow("the_child", ["sleep"], lambda what, done, total: print(what, flush=True))
"""


@pytest.fixture(autouse=True)
def child_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "the_child.py").write_text(CHILD)
    monkeypatch.chdir(tmp_path)


def test_progress_and_result_come_back() -> None:
    told: list[str] = []
    assert follow("the_child", ["answer"], lambda what, *_: told.append(what)) == {"answer": 42}
    assert [name.isdigit() for name in told] == [True]


def test_an_error_of_ours_keeps_its_message() -> None:
    with pytest.raises(VisionError, match="^take other frames$"):
        follow("the_child", ["refuse"], lambda *_: None)


def test_a_death_is_told_with_the_last_words() -> None:
    with pytest.raises(Unavailable, match=r"status 3; it said last:\nthe last words"):
        follow("the_child", ["die"], lambda *_: None)


def test_the_child_dies_with_a_killed_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        assert psutil.wait_procs([child], timeout=10) == ([child], [])
