from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_assets.labels.formats import naming


@pytest.mark.parametrize("name", ["good", "OK", "Normal", "pass", "MT_Free", "defect-free", "0 ok"])
def test_names_that_mean_good(name: str) -> None:
    assert naming.is_good(name)


@pytest.mark.parametrize(
    "name", ["not_ok", "nok", "no-good", "non normal", "free_text", "goodness", "", "_", "defect"]
)
def test_names_that_do_not(name: str) -> None:
    assert not naming.is_good(name)


def test_stated_names_replace_the_rule() -> None:
    assert naming.is_good("golden", ("golden",))
    assert not naming.is_good("good", ("golden",))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("scratch/a.png", "scratch"),
        ("MT_Break/Imgs/a.jpg", "MT_Break"),
        ("train/scratch/a.png", "scratch"),
        ("scratch/Test/images/a.png", "scratch"),
        ("day1/scratch/a.png", "scratch"),
        ("images/train/a.png", ""),
        ("a.png", ""),
    ],
)
def test_the_nearest_folder_that_says_something_is_the_class(file: str, name: str) -> None:
    assert naming.class_folder(file) == name


def test_the_split_is_a_hint_in_the_path() -> None:
    assert naming.split("set/Validation/good/a.png") == "Validation"
    assert naming.split("train.png") == ""


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_sort_as_numbers(numbers: list[int]) -> None:
    files = [f"f/exp_{number}.png" for number in numbers]
    expected = [f"f/exp_{number}.png" for number in sorted(numbers)]
    assert sorted(files, key=naming.natural_key) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("aA01²/_", min_size=1, max_size=6), unique=True))
def test_any_names_have_one_order(files: list[str]) -> None:
    keys = [naming.natural_key(file) for file in files]
    assert len({repr(key) for key in keys}) == len(files)
    assert sorted(keys, reverse=True)[::-1] == sorted(keys)


def test_folders_sort_before_the_names_in_them() -> None:
    files = ["b10/1.png", "b2/9.png", "b2/10.png", "a.png"]
    expected = ["a.png", "b2/9.png", "b2/10.png", "b10/1.png"]
    assert sorted(files, key=naming.natural_key) == expected
