from __future__ import annotations

import pytest

from tests.data.labels.generate import HEIGHT, WIDTH, DataSet


def obj(name: str = "pit", corners: tuple[object, ...] = (1, 2, 10, 20)) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{n}>{c}</{n}>" for n, c in zip(names, corners, strict=True))
    return f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"


def xml(filename: str, *objects: str, size: str | None = None) -> str:
    size = size or f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    name = f"<filename>{filename}</filename>" if filename else ""
    return f"<annotation>{name}{size}{''.join(objects)}</annotation>"


def test_boxes_count_from_one_and_include_both_corners(data_set: DataSet) -> None:
    data_set.draw("images/pit/1.jpg")
    data_set.write("annotations/1.xml", xml("1.jpg", obj(), obj("scratch", (1, 1, WIDTH, HEIGHT))))
    frames, source = data_set.read("voc")
    frame = frames["images/pit/1.jpg"]
    assert (frame.label, frame.classes) == ("defect", ("pit", "scratch"))
    assert [(b.name, b.x, b.y, b.width, b.height) for b in frame.boxes] == [
        ("pit", 0, 1, 10, 19),
        ("scratch", 0, 0, WIDTH, HEIGHT),
    ]
    assert frame.size_px == (WIDTH, HEIGHT)
    assert (source.faults, source.ignored()) == ([], {})


def test_boxes_that_count_from_zero_stay_inside(data_set: DataSet) -> None:
    data_set.draw("1.jpg")
    data_set.write("1.xml", xml("1.jpg", obj(corners=(0, 0, WIDTH, HEIGHT)), size="<a/>"))
    frames, _ = data_set.read("voc")
    (box,) = frames["1.jpg"].boxes
    assert (box.x, box.y, box.width, box.height) == (0, 0, WIDTH, HEIGHT)
    assert frames["1.jpg"].size_px is None


def test_a_name_without_suffix_finds_its_image(data_set: DataSet) -> None:
    data_set.draw("train/images/1.jpg", "validation/images/1.jpg")
    data_set.write("train/annotations/1.xml", xml("1", obj()))
    frames, source = data_set.read("voc")
    assert frames["train/images/1.jpg"].label == "defect"
    assert frames["validation/images/1.jpg"].label is None
    assert source.counts.total() == 1
    assert source.faults == []


def test_no_object_and_good_objects_mean_good(data_set: DataSet) -> None:
    data_set.draw("1.jpg", "2.jpg")
    data_set.write("1.xml", xml("1.jpg"))
    data_set.write("2.xml", xml("2.jpg", obj("ok")))
    frames, _ = data_set.read("voc")
    assert [(f.label, f.classes, f.boxes) for f in frames.values()] == [("good", (), ())] * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<annotation>", "is not XML that can be read"),
        ("", "is not XML that can be read"),
        ('<!DOCTYPE a [<!ENTITY e "x">]><annotation>&e;</annotation>', "is not XML that can be"),
        ("<html/>", "has the root <html>, expected <annotation>"),
        (xml(""), "<annotation> has no <filename>"),
        (xml("2.jpg"), "image 2.jpg does not exist"),
        (xml("1.jpg", obj("")), "<object> has no <name>"),
        (xml("1.jpg", "<object><name>pit</name></object>"), "<object> has no <bndbox/xmin>"),
        (xml("1.jpg", obj(corners=(1, "two", 3, 4))), "<bndbox/ymin> is 'two', expected a number"),
        (xml("1.jpg", obj(corners=(1, 2, "nan", 4))), "<bndbox/xmax> is 'nan', expected a number"),
        (xml("1.jpg", obj(corners=(5, 5, 4, 9))), "object pit: its box has no area"),
    ],
)
def test_what_is_wrong_is_named(data_set: DataSet, text: str, expected: str) -> None:
    data_set.draw("1.jpg")
    data_set.write("a.xml", text)
    _, source = data_set.read("voc")
    (fault,) = source.faults
    assert fault.startswith("a.xml: ")
    assert expected in fault


def test_an_image_described_twice_is_a_fault(data_set: DataSet) -> None:
    data_set.draw("1.jpg")
    data_set.write("a.xml", xml("1.jpg"))
    data_set.write("b.xml", xml("1.jpg"))
    _, source = data_set.read("voc")
    assert source.faults == ["b.xml: describes 1.jpg, which another file describes already"]
