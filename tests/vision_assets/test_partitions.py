"""Batches and lines become known to Dagster, whoever else says so at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, event

from store.errors import Conflict
from store.keys import BatchKey
from vision_assets.partitions import register

KEYS = [BatchKey("turin", line, batch) for line in ("drill", "press") for batch in ("b1", "b2")]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as opened:
        yield opened


@pytest.fixture
def before_insert(instance: dg.DagsterInstance) -> Iterator[list[list[BatchKey]]]:
    """Keys that another process registers, a list at each moment before Dagster inserts ours."""
    others: list[list[BatchKey]] = []
    is_speaking = False

    def say(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal is_speaking
        is_ours = statement.startswith("INSERT INTO dynamic_partitions") and not is_speaking
        if is_ours and others:
            is_speaking, keys = True, others.pop()
            with dg.DagsterInstance.from_ref(instance.get_ref()) as other:
                names = [str(key) for key in keys]
                other.event_log_storage.add_dynamic_partitions("batches", names)
            is_speaking = False

    event.listen(Engine, "before_cursor_execute", say)
    yield others
    event.remove(Engine, "before_cursor_execute", say)


def known(instance: dg.DagsterInstance) -> tuple[list[str], list[str]]:
    return (
        sorted(instance.get_dynamic_partitions("batches")),
        sorted(instance.get_dynamic_partitions("lines")),
    )


def test_batches_and_their_lines_become_known_once(instance: dg.DagsterInstance) -> None:
    for _ in range(2):
        register(instance, KEYS)
    assert known(instance) == ([str(key) for key in KEYS], ["turin/drill", "turin/press"])


def test_two_first_runs_at_once_register_the_same_keys(
    instance: dg.DagsterInstance, before_insert: list[list[BatchKey]]
) -> None:
    before_insert += [KEYS[1:3], KEYS[:1]]
    register(instance, KEYS)
    assert before_insert == []
    assert known(instance)[0] == [str(key) for key in KEYS]


def test_who_is_never_first_gives_up(
    instance: dg.DagsterInstance, before_insert: list[list[BatchKey]]
) -> None:
    keys = [BatchKey("turin", "press", f"b{number:02}") for number in range(6)]
    before_insert += [[key] for key in keys]
    with pytest.raises(Conflict, match="try again"):
        register(instance, keys)
