"""What a host has given up, and which release ends its process, is known after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.given_up import FILE, MOST_DEATHS, GivenUp
from tests.serve.running import full_disk


def begun(folder: Path) -> GivenUp:
    memory = GivenUp(folder)
    memory.begin()
    return memory


def test_reasons_are_kept(tmp_path: Path) -> None:
    begun(tmp_path).give_up(3, "golden frames")
    again = begun(tmp_path)
    again.give_up(3, "another reason")
    assert again.why == {3: "golden frames"}


def test_a_release_that_ends_its_process_again_and_again_is_suspect(tmp_path: Path) -> None:
    for _ in range(MOST_DEATHS):
        memory = begun(tmp_path)
        assert memory.suspect == 0
        memory.take(7)
    assert begun(tmp_path).suspect == 7


def test_one_that_has_answered_long_enough_is_not(tmp_path: Path) -> None:
    for _ in range(2 * MOST_DEATHS):
        memory = begun(tmp_path)
        memory.take(7)
        memory.trust()
    assert begun(tmp_path).suspect == 0


def test_deaths_of_another_release_do_not_count(tmp_path: Path) -> None:
    for number in range(2 * MOST_DEATHS):
        memory = begun(tmp_path)
        memory.take(number % 2 + 1)
    assert begun(tmp_path).suspect == 0


def test_a_start_that_takes_nothing_counts_once(tmp_path: Path) -> None:
    begun(tmp_path).take(7)
    for _ in range(5):  # made, but never begun: the address was taken
        GivenUp(tmp_path)
    assert begun(tmp_path).suspect == 0


@pytest.mark.parametrize("content", ["", "{", '{"why": 3}'])
def test_a_damaged_file_costs_the_memory_only(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_text(content)
    assert begun(tmp_path).why == {}
    assert "not known any more" in caplog.text


def test_a_full_disk_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = begun(tmp_path)
    with full_disk(0):
        memory.give_up(3, "why")
    assert memory.why == {3: "why"}
    assert "cannot be kept" in caplog.text
