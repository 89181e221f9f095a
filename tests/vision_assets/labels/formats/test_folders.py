from __future__ import annotations

from tests.data.labels.generate import DataSet


def test_folders_name_classes(data_set: DataSet) -> None:
    data_set.draw("good/2.png", "day1/MT_Break/Imgs/1.jpg", "train/MT_Free/1.BMP")
    data_set.write("readme.txt", "")
    frames, source = data_set.read("folders")
    assert {file: (frame.label, frame.classes) for file, frame in frames.items()} == {
        "day1/MT_Break/Imgs/1.jpg": ("defect", ("MT_Break",)),
        "good/2.png": ("good", ()),
        "train/MT_Free/1.BMP": ("good", ()),
    }
    assert source.faults == []
    assert source.ignored() == {".txt": 1}


def test_good_folders_can_be_stated(data_set: DataSet) -> None:
    data_set.draw("golden/1.png", "good/1.png")
    frames, _ = data_set.read("folders", good=("golden",))
    assert [frame.label for frame in frames.values()] == ["good", "defect"]


def test_images_in_no_class_folder_are_faults(data_set: DataSet) -> None:
    data_set.draw("1.png", "train/images/2.png", "good/3.png")
    frames, source = data_set.read("folders")
    assert list(frames) == ["good/3.png"]
    assert [fault.partition(":")[0] for fault in source.faults] == ["1.png", "train/images/2.png"]


def test_a_folder_inside_a_good_one_is_not_taken_for_a_defect(data_set: DataSet) -> None:
    data_set.draw("good/day1/1.png")
    frames, source = data_set.read("folders")
    assert frames == {}
    assert source.faults == [
        "good/day1/1.png: lies in good and in day1: is it good or of class day1?"
    ]
