from __future__ import annotations

from tests.data.labels.generate import DataSet


def test_train_test_and_ground_truth(data_set: DataSet) -> None:
    data_set.draw("train/good/000.png", "test/good/000.png", "test/bent/000.png", "test/bent/1.png")
    data_set.draw("test/cut/000.png", "elsewhere/x.png")
    data_set.mark("ground_truth/bent/000_mask.png", "ground_truth/cut/000.png")
    frames, source = data_set.read("mvtec")
    assert {file: (f.label, f.classes, bool(f.load_mask)) for file, f in frames.items()} == {
        "test/bent/000.png": ("defect", ("bent",), True),
        "test/bent/1.png": ("defect", ("bent",), False),
        "test/cut/000.png": ("defect", ("cut",), True),
        "test/good/000.png": ("good", (), False),
        "train/good/000.png": ("good", (), False),
    }
    load = frames["test/bent/000.png"].load_mask
    assert load
    assert load().classes == ("bent",)
    assert source.faults == []
    assert source.ignored() == {".png": 1}


def test_a_mask_without_a_frame_is_a_fault(data_set: DataSet) -> None:
    data_set.draw("test/bent/000.png")
    data_set.mark("ground_truth/bent/001_mask.png")
    _, source = data_set.read("mvtec")
    assert [fault.partition(":")[0] for fault in source.faults] == [
        "ground_truth/bent/001_mask.png"
    ]
