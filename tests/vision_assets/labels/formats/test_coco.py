from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest

from tests.data.labels.generate import HEIGHT, WIDTH, DataSet

# pycocotools 2.0.11 does not know numpy 2's `copy` argument; what it gives is right.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CATEGORIES = [{"id": 1, "name": "pit"}, {"id": 7, "name": "scratch"}, {"id": 9, "name": "ok"}]
SQUARE = [[2, 3, 6, 3, 6, 8, 2, 8]]
Said = Mapping[str, object]


def image(number: int, **changes: object) -> Said:
    base = {"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT}
    return {**base, **changes}


def said(image_id: int, category: int = 1, **more: object) -> Said:
    return {"id": 5, "image_id": image_id, "category_id": category, "bbox": [2, 3, 4, 5], **more}


def document(images: list[Said], annotations: list[Said]) -> str:
    value = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    return json.dumps(value)


def test_boxes_classes_and_good_images(data_set: DataSet) -> None:
    data_set.draw("train2017/1.jpg", "train2017/2.jpg", "train2017/3.jpg", "train2017/4.jpg")
    text = document([image(1), image(2), image(3)], [said(1, 7), said(1), said(3, 9)])
    data_set.write("annotations/instances_train2017.json", text)
    data_set.write("info.json", '{"licence": "none"}')
    frames, source = data_set.read("coco")
    assert [(f.label, f.classes, len(f.boxes)) for f in frames.values()] == [
        ("defect", ("pit", "scratch"), 2),
        ("good", (), 0),
        ("good", (), 0),
        (None, (), 0),
    ]
    box = frames["train2017/1.jpg"].boxes[0]
    assert (box.name, box.x, box.y, box.width, box.height) == ("scratch", 2, 3, 4, 5)
    assert source.faults == []
    assert source.counts == {"images without annotation, imported without a label": 1}
    assert source.ignored() == {".json": 1}


def test_outlines_become_a_mask(data_set: DataSet) -> None:
    data_set.draw("1.jpg")
    runs = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT, HEIGHT * (WIDTH - 1)]}
    annotations = [said(1, 7, segmentation=runs), said(1, segmentation=SQUARE)]
    data_set.write("a.json", document([image(1)], annotations))
    frames, _ = data_set.read("coco")
    load = frames["1.jpg"].load_mask
    assert load
    marking = load()
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:, 0] = 2
    expected[3:8, 2:6] = 1
    assert marking.classes == ("pit", "scratch")
    assert np.array_equal(marking.values, expected)


def test_a_frame_with_some_defects_outlined_has_no_mask(data_set: DataSet) -> None:
    data_set.draw("1.jpg")
    annotations = [said(1, segmentation=SQUARE), said(1, segmentation=[])]
    data_set.write("a.json", document([image(1)], annotations))
    frames, source = data_set.read("coco")
    assert frames["1.jpg"].load_mask is None
    assert source.counts.total() == 1


def test_one_file_says_which_images_it_means(data_set: DataSet) -> None:
    data_set.draw("1.jpg", "2.jpg")
    data_set.write("a.json", document([image(1)], []))
    data_set.write("b.json", document([image(2)], []))
    frames, _ = data_set.read("coco", "a.json")
    assert list(frames) == ["1.jpg"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "a.json: is not JSON"),
        ('{"images": []}', "a.json: is not COCO: annotations: Field required; categories: Field"),
        (document([image(1, file_name=3)], []), "a.json: is not COCO: images.0.file_name"),
        (document([image(2)], []), "2.jpg: image 2.jpg does not exist"),
        (document([image(1), image(1)], []), "a.json: lists 1.jpg, which is listed already"),
        (document([image(1)], [said(4)]), "annotation 0: no image has the id 4"),
        (document([image(1)], [said(1, 4)]), "annotation 0: no category 4"),
        (document([image(1)], [said(1, bbox=[1, 2, 3])]), "expected x, y, width, height with"),
        (document([image(1)], [said(1, bbox=[1, 2, 0, 4])]), "expected x, y, width, height with"),
    ],
)
def test_what_is_wrong_is_named(data_set: DataSet, text: str, expected: str) -> None:
    data_set.draw("1.jpg")
    data_set.write("a.json", text)
    _, source = data_set.read("coco")
    (fault,) = source.faults
    assert expected in fault


def test_a_file_that_is_given_must_be_coco(data_set: DataSet) -> None:
    data_set.write("a.json", "[]")
    _, source = data_set.read("coco", "a.json")
    assert "is not COCO" in source.faults[0]
