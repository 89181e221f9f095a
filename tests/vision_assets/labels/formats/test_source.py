from __future__ import annotations

import pytest

from store.errors import InvalidInput
from tests.data.labels.generate import DataSet
from vision_assets.labels.formats.source import Source


@pytest.fixture
def source(data_set: DataSet) -> Source:
    data_set.draw("train/img/a.png", "test/img/a.png", "test/img/b.jpg", "c.png")
    data_set.write("train/xml/a.xml", "")
    return Source(data_set.root)


def test_files_come_in_natural_order(data_set: DataSet) -> None:
    data_set.draw("10.png", "9.png", "sub/1.png")
    data_set.write(".hidden", "")
    source = Source(data_set.root)
    assert source.files == ("9.png", "10.png", ".hidden", "sub/1.png")
    assert source.images == ["9.png", "10.png", "sub/1.png"]


def test_what_is_not_there_is_refused(data_set: DataSet) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        Source(data_set.root)


@pytest.mark.parametrize(
    ("name", "described_in", "found"),
    [
        ("c.png", "train/xml/a.xml", "c.png"),
        ("../img/a.png", "train/xml/a.xml", "train/img/a.png"),
        ("..\\img\\a.png", "train/xml/a.xml", "train/img/a.png"),
        ("test/img/a.png", "train/xml/a.xml", "test/img/a.png"),
        ("a.png", "train/xml/a.xml", "train/img/a.png"),
        ("a", "test/xml/a.xml", "test/img/a.png"),
        ("b.png", "train/xml/a.xml", "test/img/b.jpg"),
    ],
)
def test_an_image_is_found_wherever_it_lies(
    source: Source, name: str, described_in: str, found: str
) -> None:
    assert source.find_image(name, described_in) == found


@pytest.mark.parametrize(
    ("name", "described_in", "expected"),
    [
        ("z.png", "a.xml", "image z.png does not exist below the data set"),
        ("a.png", "a.xml", "fits test/img/a.png, train/img/a.png"),
        ("../../secret.png", "a.xml", "lies outside the data set"),
        ("/etc/hostname", "a.xml", "lies outside the data set"),
    ],
)
def test_an_image_that_is_not_there_or_not_sure_is_refused(
    source: Source, name: str, described_in: str, expected: str
) -> None:
    with pytest.raises(InvalidInput, match=expected):
        source.find_image(name, described_in)


def test_ignored_files_are_counted_by_suffix(source: Source) -> None:
    source.use("c.png")
    assert source.ignored() == {".png": 2, ".jpg": 1, ".xml": 1}


def test_beside_one_file_nothing_counts_as_ignored(data_set: DataSet) -> None:
    data_set.write("a.csv", "")
    data_set.write("b.txt", "")
    source = Source(data_set.root / "a.csv")
    assert source.documents(".csv") == ["a.csv"]
    assert not source.ignored()
