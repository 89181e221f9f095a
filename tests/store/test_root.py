"""Writes are atomic and creation is exclusive, also between processes that get killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from store.errors import Conflict, NotFound
from store.root import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_remote_url_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="only a local folder"):
        Store("memory://somewhere")


def test_write_read_and_range(store: Store) -> None:
    store.write("a/b.bin", b"0123456789")
    assert store.read("a/b.bin") == b"0123456789"
    assert store.read_range("a/b.bin", 3, 4) == b"3456"
    assert store.size("a/b.bin") == 10
    assert store.names("a") == ["b.bin"]
    assert store.files("") == [("a/b.bin", 10)]


def test_what_is_absent_is_named(store: Store) -> None:
    for call in (store.read, store.size, lambda path: store.read_range(path, 0, 1)):
        with pytest.raises(NotFound, match="no file x/y"):
            call("x/y")
    assert store.names("x") == []


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(store: Store) -> None:
    store.write("a", b"old")

    def fail() -> None:
        with store.writer("a") as stream:
            stream.write(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert store.read("a") == b"old"
    assert [path.name for path in store.local_path("").iterdir()] == ["a"]


def test_create_does_not_overwrite(store: Store) -> None:
    store.create("a", b"first")
    with pytest.raises(Conflict, match="exists already"):
        store.create("a", b"second")
    assert store.read("a") == b"first"


RACE = """
import sys
from store.errors import Conflict
from store.root import Store
url, writer, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(rounds):
    try:
        Store(url).create(f"n/{number}", writer.encode())
    except Conflict:
        continue
    print(number)
"""


def test_of_many_creators_exactly_one_wins(tmp_path: Path) -> None:
    rounds = 40
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), str(writer), str(rounds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for writer in range(4)
    ]
    won = {i: racer.communicate(timeout=60)[0].split() for i, racer in enumerate(racers)}
    assert sorted(int(n) for wins in won.values() for n in wins) == list(range(rounds))
    store = Store(str(tmp_path))
    assert all(store.read(f"n/{n}") == str(i).encode() for i, wins in won.items() for n in wins)
