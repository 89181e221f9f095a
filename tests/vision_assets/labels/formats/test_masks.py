from __future__ import annotations

import numpy as np

from tests.data.labels.generate import DataSet, half_mask


def test_masks_lie_beside_their_frames(data_set: DataSet) -> None:
    data_set.draw("MT_Break/Imgs/1.jpg", "MT_Break/Imgs/2.tif", "MT_Free/Imgs/1.bmp")
    data_set.mark("MT_Break/Imgs/1.png", "MT_Free/Imgs/1.PNG")
    frames, source = data_set.read("masks")
    assert [(f.label, f.classes, bool(f.load_mask)) for f in frames.values()] == [
        ("defect", ("MT_Break",), True),
        ("defect", ("MT_Break",), False),
        ("good", (), True),
    ]
    load = frames["MT_Break/Imgs/1.jpg"].load_mask
    assert load
    assert load().classes == ("MT_Break",)
    assert np.array_equal(load().values, half_mask(1))
    assert (source.faults, source.ignored()) == ([], {})


def test_a_mask_without_a_frame_is_a_fault(data_set: DataSet) -> None:
    data_set.draw("scratch/1.jpg")
    data_set.mark("scratch/2.png")
    _, source = data_set.read("masks")
    assert source.faults == [
        "scratch/2.png: is a mask without a frame: expected a jpg, bmp or tif of that name"
    ]
