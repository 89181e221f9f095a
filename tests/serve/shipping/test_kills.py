"""Server and shipping killed at random moments: every row arrives exactly once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serve.replay import read
from serve.shipping import cursor
from serve.shipping.program import drain
from tests.serve.shipping.running import Shipping, plan_for, store_in, stored

_WRITER = """
import sys, time
from pathlib import Path
from serve.spool import Spool, SpoolLimits
from tests.serve.shipping.running import row
folder, boot = Path(sys.argv[1]), sys.argv[2]
spool = Spool(folder / "spool", SpoolLimits(segment_bytes=50_000))
for number in range(10**9):
    spool.append(row(number, boot=boot, frame_id=f"{boot}-{number}"))
    print(f"{boot}-{number}", flush=True)
    time.sleep(0.0005)
"""


class Writer:
    """A process that fills the spool and tells which rows were taken."""

    def __init__(self, folder: Path, boot: str) -> None:
        self._told = folder / f"{boot}.told"
        with open(self._told, "wb") as told:
            command = [sys.executable, "-c", _WRITER, str(folder), boot]
            self.child = subprocess.Popen(command, stdout=told)

    def kill(self) -> list[str]:
        """End it; gives the frames whose rows were acknowledged."""
        self.child.kill()
        self.child.wait()
        return [line for line in self._told.read_text().split("\n")[:-1] if line]


def kill_often(folder: Path, kills: int) -> None:
    chance = random.Random(kills)
    store, plan = store_in(folder), plan_for(folder, every_s=0.02)
    acknowledged: list[str] = []
    for number in range(kills):
        before = cursor.load(folder / "spool", "parquet")
        writer, shipping = Writer(folder, f"boot{number}"), Shipping(plan)
        while cursor.load(folder / "spool", "parquet") == before:  # until both are at work
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.5))
        if chance.random() < 0.5:
            shipping.kill()
            acknowledged += writer.kill()
        else:
            acknowledged += writer.kill()
            time.sleep(chance.uniform(0, 0.1))
            shipping.kill()
    drain(plan)
    found = stored(store)
    assert found.select("host", "boot", "sequence").is_duplicated().sum() == 0
    assert found["frame_id"].is_duplicated().sum() == 0
    assert set(acknowledged) <= set(found["frame_id"])
    in_spool = [(row["sequence"], row["frame_id"]) for row in read(folder / "spool")]
    assert sorted(found.select("sequence", "frame_id").rows()) == in_spool
    assert len(acknowledged) > 10 * kills


def test_two_kills(tmp_path: Path) -> None:
    kill_often(tmp_path, 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_hundred_kills(tmp_path: Path) -> None:
    kill_often(tmp_path, 100)
