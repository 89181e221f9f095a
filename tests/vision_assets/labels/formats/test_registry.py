from __future__ import annotations

import pytest

from store.errors import InvalidInput
from tests.data.labels.generate import DataSet
from vision_assets.labels.formats import registry


def test_an_unknown_layout_lists_the_known_ones(data_set: DataSet) -> None:
    with pytest.raises(
        InvalidInput, match=r"'zip' is not known; expected one of folders, masks, m"
    ):
        registry.layout_for("zip", data_set.root)


@pytest.mark.parametrize(("layout", "file"), [("csv", "a.csv"), ("coco", "a.JSON")])
def test_some_layouts_take_one_file(data_set: DataSet, layout: str, file: str) -> None:
    data_set.write(file, "")
    assert registry.layout_for(layout, data_set.root / file)


@pytest.mark.parametrize(
    ("layout", "file", "expected"),
    [
        ("folders", "a.png", "layout folders reads a folder$"),
        ("folders", "LICENSE", "layout folders reads a folder$"),
        ("csv", "a.json", "layout csv reads a folder or one .csv file"),
    ],
)
def test_other_files_are_refused(data_set: DataSet, layout: str, file: str, expected: str) -> None:
    data_set.write(file, "")
    with pytest.raises(InvalidInput, match=expected):
        registry.layout_for(layout, data_set.root / file)
