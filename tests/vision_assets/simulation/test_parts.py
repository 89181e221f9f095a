import cv2
import numpy as np
import pytest

from vision_assets.simulation.parts import PartRenderer, Shot
from vision_assets.simulation.settings import ALL_KINDS, KINDS, SimulationSettings


def renderer(batch: str = "b1", **settings: object) -> PartRenderer:
    return PartRenderer(batch, SimulationSettings.model_validate({"frames": 1, **settings}))


MIXED = renderer(defect_rate=0.5, cameras=2)


def pixels(shot: Shot) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(cv2.imdecode(np.frombuffer(shot.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0])
def test_the_share_of_defective_parts_is_the_rate(rate: float) -> None:
    parts = renderer(defect_rate=rate)
    share = np.mean([bool(parts.defects(part)) for part in range(2000)])
    assert share == pytest.approx(rate, abs=0.02)


def test_every_kind_comes_up_and_some_parts_have_several() -> None:
    parts = renderer(defect_rate=1)
    found = [parts.defects(part) for part in range(400)]
    assert {defect.kind for defects in found for defect in defects} == set(KINDS)
    assert {len(defects) for defects in found} == {1, 2, 3}


@pytest.mark.parametrize("kind", ["burr", "discolouration"])
def test_an_unseen_kind_has_its_share_of_parts_to_itself(kind: str) -> None:
    parts = renderer(defect_rate=1, unseen_kind=kind, unseen_share=0.3)
    found = [[defect.kind for defect in parts.defects(part)] for part in range(1000)]
    unseen = [kinds for kinds in found if kind in kinds]
    assert all(kinds == [kind] for kinds in unseen)
    assert len(unseen) == pytest.approx(300, abs=50)


def test_a_frame_says_what_its_mask_and_boxes_say() -> None:
    kinds = set()
    for part in range(16):
        for camera in range(2):
            shot = MIXED.shoot(part, camera)
            assert pixels(shot).shape == (480, 640, 3)
            if not shot.seen:
                assert shot.mask is None
                continue
            assert shot.mask is not None
            assert shot.mask.shape == (480, 640)
            values = {ALL_KINDS.index(kind) + 1 for kind in shot.classes}
            assert set(np.unique(shot.mask)) == values | {0}
            in_boxes = np.zeros_like(shot.mask, np.bool_)
            for defect in shot.seen:
                window = np.s_[defect.y : defect.y + defect.height, defect.x :][0:2]
                box = shot.mask[window[0], defect.x : defect.x + defect.width]
                assert box.shape == (defect.height, defect.width)
                in_boxes[window[0], defect.x : defect.x + defect.width] = True
                kinds.add(defect.kind)
            assert not shot.mask[~in_boxes].any()
    assert len(kinds) >= 4


def test_a_defective_part_is_seen_as_such_by_a_camera_at_least() -> None:
    for part in range(40):
        defects = MIXED.defects(part)
        if defects:
            classes = {kind for camera in range(2) for kind in MIXED.shoot(part, camera).classes}
            assert classes == {defect.kind for defect in defects}


def test_only_a_chip_is_seen_from_the_next_face_too() -> None:
    chips = 0
    for part in range(60):
        for defect in MIXED.defects(part):
            if len(MIXED.defects(part)) == 1:
                other = MIXED.shoot(part, 1 - defect.face)
                assert bool(other.seen) == (defect.kind == "chip")
                chips += defect.kind == "chip"
    assert chips > 0


def test_what_is_out_of_view_is_not_labelled() -> None:
    here, away = (renderer(defect_rate=1, shift_px=(0.0, y)) for y in (0.0, 80.0))
    counts = [sum(len(p.shoot(part, 0).seen) for part in range(30)) for p in (here, away)]
    assert counts[1] < counts[0]
    for part in range(30):
        for defect in away.shoot(part, 0).seen:
            assert defect.y + defect.height <= 480


def test_seed_batch_part_and_camera_each_make_another_frame() -> None:
    frames = [
        renderer(cameras=2).shoot(0, 0),
        renderer(cameras=2).shoot(1, 0),
        renderer(cameras=2).shoot(0, 1),
        renderer(cameras=2, seed=1).shoot(0, 0),
        renderer("b2", cameras=2).shoot(0, 0),
    ]
    assert len({frame.jpeg for frame in frames}) == len(frames)
    assert renderer(cameras=2).shoot(0, 0).jpeg == frames[0].jpeg


@pytest.mark.parametrize("material", ["turned", "brushed", "moulded"])
def test_every_material_can_be_made_and_looks_its_own(material: str) -> None:
    frame = pixels(renderer(material=material).shoot(0, 0))
    assert frame[100:380, 100:540].mean() > 1.5 * frame[:10].mean()
