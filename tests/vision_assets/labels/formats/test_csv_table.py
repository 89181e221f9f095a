from __future__ import annotations

import json

import pytest

from tests.data.labels.generate import DataSet

BOX = {"class": "pit", "x": 1, "y": 2, "width": 3, "height": 4}


@pytest.fixture
def data_set(data_set: DataSet) -> DataSet:
    data_set.draw("a/1.png", "a/2.png", "a/3.png")
    data_set.mark("m/1.png")
    return data_set


def faults(data_set: DataSet, table: str | bytes) -> list[str]:
    data_set.write("frames.csv", table)
    return data_set.read("csv")[1].faults


def test_label_and_classes(data_set: DataSet) -> None:
    table = "File,Label,Class\na/2.png,defect,scratch; pit\na/1.png,,MT_Free\na/3.png,,\n"
    data_set.write("frames.csv", "\ufeff" + table)
    frames, source = data_set.read("csv")
    assert {file: (frame.label, frame.classes) for file, frame in frames.items()} == {
        "a/2.png": ("defect", ("pit", "scratch")),
        "a/1.png": ("good", ()),
        "a/3.png": (None, ()),
    }
    assert list(frames) == ["a/2.png", "a/1.png", "a/3.png"], "rows are in order of capture"
    assert (source.faults, source.ignored()) == ([], {".png": 1})


def test_every_column(data_set: DataSet) -> None:
    box = json.dumps([BOX]).replace('"', '""')
    table = (
        "file,class,boxes,mask,batch,camera,captured_at,serial,group,product,exposure_ms,oven\n"
        f'a/1.png,pit,"{box}",m/1.png,B-1,cam,2026-01-31T12:00:00+01:00,S1,G1,P1,1.5,hot\n'
    )
    data_set.write("frames.csv", table)
    frames, source = data_set.read("csv", "frames.csv")
    assert source.faults == []
    frame = frames["a/1.png"]
    assert frame.boxes[0].to_row() == BOX
    assert frame.load_mask
    assert frame.load_mask().classes == ("pit",)
    assert frame.batch == "B-1"
    assert frame.metadata == {
        "camera": "cam",
        "captured_at": "2026-01-31T12:00:00+01:00",
        "serial": "S1",
        "group": "G1",
        "product": "P1",
        "exposure_ms": 1.5,
        "oven": "hot",
    }


def test_boxes_alone_name_classes(data_set: DataSet) -> None:
    boxes = json.dumps([BOX, {**BOX, "class": "ok"}]).replace('"', '""')
    data_set.write("frames.csv", f'file,boxes\na/1.png,"{boxes}"\na/2.png,[]\n')
    frames, _ = data_set.read("csv")
    assert (frames["a/1.png"].label, frames["a/1.png"].classes) == ("defect", ("pit",))
    assert [box.name for box in frames["a/1.png"].boxes] == ["pit"]
    assert frames["a/2.png"].label is None, "no boxes are no statement"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("b/1.png,,,,", "b/1.png does not exist below"),
        (",good,,,", "file does not exist below"),
        ("../x.png,,,,", "../x.png lies outside the data set"),
        ("a/1.png,ok,,,", "label is 'ok', expected good or defect; what kind goes into class"),
        ("a/1.png,good,pit,,", "label is good, but the classes (pit) say defect"),
        ("a/1.png,defect,ok,,", "label is defect, but the classes (ok) say good"),
        ("a/1.png,defect,,m/1.png,", "a mask needs exactly one class"),
        ("a/1.png,,,m/1.png,", "a mask needs exactly one class"),
        ("a/1.png,,pit;scratch,m/1.png,", "a mask needs exactly one class"),
        ("a/1.png,,pit,m/2.png,", "m/2.png does not exist below"),
        ("a/1.png,,,,2026-01-31T12:00:00", "has no offset such as +00:00"),
        ("a/1.png,,,,yesterday", "captured_at cannot be read"),
    ],
)
def test_wrong_rows_are_named(data_set: DataSet, row: str, expected: str) -> None:
    table = f"file,label,class,mask,captured_at\na/3.png,good,,,\n{row}\n"
    (fault,) = faults(data_set, table)
    assert fault.startswith("frames.csv line 3 (")
    assert expected in fault


@pytest.mark.parametrize(
    ("header", "cell", "expected"),
    [
        ("exposure_ms", "long", "exposure_ms or captured_at cannot be read"),
        ("boxes", "[1]", "boxes should read"),
        ("boxes", "{", "boxes should read"),
    ],
)
def test_wrong_cells_are_named(data_set: DataSet, header: str, cell: str, expected: str) -> None:
    (fault,) = faults(data_set, f"file,{header}\na/1.png,{cell}\n")
    assert expected in fault


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("name,label\na/1.png,good\n", "frames.csv: has no column `file`"),
        ("", "frames.csv: has no column `file`"),
        ("file,label\na/1.png\n", "frames.csv line 2: has not as many cells as names"),
        ("file\na/1.png,good\n", "frames.csv line 2: has not as many cells as names"),
        (b"file\n\xff\xff.png\n", "frames.csv: is no CSV in UTF-8"),
    ],
)
def test_wrong_tables_are_named(data_set: DataSet, table: str | bytes, expected: str) -> None:
    (fault,) = faults(data_set, table)
    assert fault.startswith(expected)


def test_of_several_tables_one_must_be_given(data_set: DataSet) -> None:
    data_set.write("other.csv", "file\n")
    (fault,) = faults(data_set, "file\n")
    assert "expected one .csv, found frames.csv, other.csv; give the file itself" in fault


def test_without_a_table_it_says_so(data_set: DataSet) -> None:
    assert "expected one .csv, found none" in data_set.read("csv")[1].faults[0]
