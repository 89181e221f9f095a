"""`kill -9` under load: every answer that a client has is in the spool, with the same verdict."""

from __future__ import annotations

import logging
import random
import signal
import time
from pathlib import Path

import pytest

from store.root import Store
from tests.serve.faults import FRONTS, Answered, Load, check_rows, running
from tests.serve.running import promote


def kill_often(folder: Path, kills: int, front: str, *options: str) -> None:
    """Kill a server under unary and streaming load again and again, then look for every answer."""
    promote(Store(str(folder / "store")))
    chance = random.Random(kills)
    answers: dict[str, Answered] = {}
    for start in range(kills):
        with running(folder, *options, front=front) as process:
            load = Load(process.address, str(start))
            time.sleep(chance.uniform(0.02, 0.4))
            process.end(signal.SIGKILL)
        load.wait()
        assert not load.refused
        answers |= load.answers
    rows = check_rows(folder / "spool", answers)
    verdicts = {answer.verdict or answer.code for answer in answers.values()}
    logging.getLogger(__name__).info("%d kills, %d answers, %d rows", kills, len(answers), rows)
    assert len(answers) > 10 * kills
    assert {"PASS", "REVIEW", "REJECT", "not_an_image"} == verdicts
    assert rows >= len(answers)


@pytest.mark.parametrize("front", FRONTS)
def test_every_answer_of_a_killed_server_is_recorded(tmp_path: Path, front: str) -> None:
    kill_often(tmp_path, 2, front)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("front", FRONTS)
def test_every_answer_of_200_killed_servers_is_recorded(tmp_path: Path, front: str) -> None:
    kill_often(tmp_path, 200, front)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("front", FRONTS)
def test_every_answer_of_20_killed_strict_servers_is_recorded(tmp_path: Path, front: str) -> None:
    kill_often(tmp_path, 20, front, "--strict")
