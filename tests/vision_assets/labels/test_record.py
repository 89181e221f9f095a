from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pytest

from store import events as stored
from store.errors import InvalidInput, NotFound
from store.root import Store
from tests.data.labels.generate import HEIGHT, WIDTH, Delivery, half_mask, png
from vision_assets.config import LineConfig
from vision_assets.labels import events, masks
from vision_assets.labels.current import current
from vision_assets.labels.record import LabelReport, record_batch

Row = Mapping[str, object]
BOX: Row = {"class": "pit", "x": 1, "y": 2, "width": 3, "height": 4}
PIT: Row = {"file": "1.png", "label": "defect", "classes": ["pit"]}


def good(number: int, **more: object) -> Row:
    return {"file": f"{number}.png", "label": "good", **more}


@pytest.fixture
def record(store: Store, delivery: Delivery, settings: LineConfig) -> Recorder:
    return Recorder(store, delivery, settings)


class Recorder:
    """Delivers three frames with rows and records them."""

    def __init__(self, store: Store, delivery: Delivery, settings: LineConfig) -> None:
        self.store, self.delivery, self.settings = store, delivery, settings

    def __call__(
        self,
        *rows: Row | str,
        frames: int = 3,
        hour: int = 12,
        masks: dict[str, bytes] | None = None,
    ) -> LabelReport:
        self.delivery.bring(frames, rows, masks, hour)
        return self.again()

    def again(self) -> LabelReport:
        return record_batch(self.store, self.delivery.key, self.settings)

    def labels(self) -> dict[str, str]:
        rows = current(events.read(self.store, self.delivery.key))
        return dict(rows.select("frame_id", "label").iter_rows())

    def tables(self) -> int:
        return len(stored.tables_of(self.store, self.delivery.key))


def test_rows_become_events_and_counts(record: Recorder) -> None:
    report = record(good(0), {**PIT, "boxes": [{**BOX, "class": "scratch"}]})
    assert (report.events, report.added, report.frames, report.labelled) == (2, 2, 3, 2)
    assert (report.good, report.defect, report.quarantined) == (1, 1, 0)
    assert report.classes == {"pit": 1, "scratch": 1}, "a class with a box is a class of the frame"
    assert report.faults == []
    assert record.labels() == {"frame-0": "good", "frame-1": "defect"}


def test_events_hold_what_the_row_says(record: Recorder) -> None:
    mask = png(half_mask(2))
    row = {**PIT, "boxes": [BOX], "mask": "m.png", "mask_classes": ["pit", "scratch"]}
    assert record(row, masks={"m.png": mask}).faults == []
    (event,) = events.read(record.store, record.delivery.key).iter_rows(named=True)
    assert event["classes"] == ["pit", "scratch"]
    assert event["boxes"] == '[{"class":"pit","height":4.0,"width":3.0,"x":1.0,"y":2.0}]'
    assert event["source"] == "imported"
    assert event["recorded_at"] == datetime(2026, 1, 31, 12, tzinfo=UTC)
    found = masks.class_mask(event["mask_png"], event["mask_classes"], ("pit", "scratch"))
    assert np.array_equal(found, half_mask(2))


def test_again_changes_nothing(record: Recorder) -> None:
    first = record(good(0), PIT, good(2, recorded_at="2026-01-01T00:00:00Z", event_id="e1"))
    second = record.again()
    assert (first.added, second.added) == (3, 0)
    assert (second.hash, second.events, record.tables()) == (first.hash, 3, 1)


def test_delivered_again_later_changes_nothing(record: Recorder) -> None:
    first = record(good(0), PIT)
    second = record(good(0), PIT, hour=15)
    assert (second.added, second.hash, record.tables()) == (0, first.hash, 1)


def test_a_batch_that_grew_adds_new_and_changed_rows(record: Recorder) -> None:
    record(good(0), good(1))
    report = record(good(0), PIT, good(2), frames=4, hour=13)
    assert (report.events, report.added, report.frames, record.tables()) == (4, 2, 4, 2)
    assert record.labels() == {"frame-0": "good", "frame-1": "defect", "frame-2": "good"}


def test_a_label_that_is_changed_back_is_said_again(record: Recorder) -> None:
    record(good(1))
    record(PIT, hour=13)
    assert record(good(1), hour=14).added == 1
    assert record.labels() == {"frame-1": "good"}
    assert record.again().added == 0


def test_a_row_without_time_is_unchanged_beside_one_with_time(record: Recorder) -> None:
    timed = {**PIT, "recorded_at": "2030-01-01T00:00:00Z"}
    record(good(1), timed)
    assert record(good(1), timed, hour=13).added == 0


def test_a_retraction_restores_the_earlier_label(record: Recorder) -> None:
    rows = (good(1, event_id="e1"), {**PIT, "source": "human", "event_id": "e2"})
    record(*rows)
    assert record.labels() == {"frame-1": "defect"}
    report = record(*rows, {"file": "1.png", "retracts": "e2"}, hour=13)
    assert (report.added, report.faults) == (1, [])
    assert record.labels() == {"frame-1": "good"}
    assert record.again().added == 0


@pytest.mark.parametrize("target", ["e9", "e0", "e1"], ids=["unknown", "other frame", "itself"])
def test_a_retraction_needs_another_event_of_its_frame(record: Recorder, target: str) -> None:
    report = record(good(0, event_id="e0"), good(1, event_id="e1", retracts=target))
    assert report.faults == [
        f"event: line 2 (1.png): retracts {target}, which is no other event of this frame"
    ]
    assert report.events == 1


def test_an_event_id_says_one_thing(record: Recorder) -> None:
    report = record(good(1, event_id="e1"), {**PIT, "event_id": "e1"})
    assert "event e1 says something else already" in report.faults[0]
    report = record({**PIT, "event_id": "e1"}, hour=13)
    assert "event e1 says something else already" in report.faults[0]
    moved = good(1, event_id="e1", recorded_at="2020-01-01T00:00:00Z")
    assert "event e1 says something else already" in record(moved, hour=14).faults[0]
    assert record.labels() == {"frame-1": "good"}


def test_rows_that_contradict_each_other_are_named(record: Recorder) -> None:
    report = record(good(1), PIT, good(1))
    assert report.events == 1
    assert report.faults_by_kind == {"event": 1}
    assert "line 2 (1.png): contradicts line 1" in report.faults[0]
    assert record.again().events == 1


def test_two_sources_do_not_contradict_each_other(record: Recorder) -> None:
    assert record(good(1), {**PIT, "source": "reviewed"}, {**PIT, "author": "b"}).events == 3
    assert record.labels() == {"frame-1": "defect"}


def test_every_fault_is_named_and_the_rest_recorded(record: Recorder) -> None:
    report = record(
        good(0),
        "not json",
        good(7),
        {**PIT, "boxes": [{**BOX, "x": WIDTH}]},
        {"file": "2.png", "label": "defect", "classes": ["dent"]},
        {"file": "2.png", "label": "fine"},
    )
    assert report.events == 1
    assert report.faults_by_kind == {
        "row": 2,
        "no_frame": 1,
        "outside_image": 1,
        "unknown_class": 1,
    }
    text = "\n".join(report.faults)
    assert "row: line 2: not JSON" in text
    assert "no_frame: line 3 (7.png): the batch has no frame with file '7.png'" in text
    assert "outside_image: line 4 (1.png): box of pit spans 40..43 x 2..6; the frame has" in text
    assert "unknown_class: line 5 (2.png): unknown class dent; expected pit, scratch" in text


def test_one_row_can_have_several_faults(record: Recorder) -> None:
    row = {**PIT, "boxes": [{**BOX, "x": -9, "class": "dent"}], "mask": "no.png"}
    assert record(row).faults_by_kind == {"outside_image": 1, "unknown_class": 1, "mask": 1}


@pytest.mark.parametrize(
    "box",
    [
        {"x": -1, "y": 0, "width": 5, "height": 5},
        {"x": 0, "y": -1, "width": 5, "height": 5},
        {"x": 0, "y": 0, "width": WIDTH + 1, "height": 5},
        {"x": 0, "y": 0, "width": 5, "height": HEIGHT + 1},
    ],
)
def test_boxes_outside_are_kept_out(record: Recorder, box: Row) -> None:
    report = record({**PIT, "boxes": [{"class": "pit", **box}]})
    assert report.faults_by_kind == {"outside_image": 1}


def test_a_box_may_touch_the_edge_and_miss_it_by_rounding(record: Recorder) -> None:
    edge = {"class": "pit", "x": -0.4, "y": 0, "width": WIDTH + 0.8, "height": HEIGHT}
    assert record({**PIT, "boxes": [edge]}).faults == []


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (png(np.zeros((HEIGHT, WIDTH + 1), np.uint8)), "the mask has 41 x 32 pixels, the frame"),
        (png(half_mask(2)), "the mask holds the value 2 but mask_classes names only 1: pit"),
        (png(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), "8-bit single-channel"),
        (b"no picture", "no image format"),
    ],
    ids=["size", "value", "colour", "no picture"],
)
def test_masks_that_do_not_fit_are_kept_out(record: Recorder, mask: bytes, expected: str) -> None:
    row = {**PIT, "mask": "m.png", "mask_classes": ["pit"]}
    report = record(row, masks={"m.png": mask})
    assert report.faults_by_kind == {"mask": 1}
    assert expected in report.faults[0]


def test_a_good_frame_with_marked_pixels_is_kept_out(record: Recorder) -> None:
    row = good(0, mask="m.png", mask_classes=["pit"])
    report = record(row, masks={"m.png": png(half_mask(1))})
    assert "marks 640 pixels of a frame labelled good" in report.faults[0]
    assert record(row, masks={"m.png": png(half_mask(0))}, hour=13).good == 1


@pytest.mark.parametrize("path", ["../labels.jsonl", "/etc/passwd", "a/../../frames/0.png"])
def test_masks_outside_their_folder_are_not_read(record: Recorder, path: str) -> None:
    report = record({**PIT, "mask": path, "mask_classes": ["pit"]})
    assert "should lie below masks/" in report.faults[0]


def test_a_class_of_the_mask_that_the_line_lacks_is_unknown(record: Recorder) -> None:
    row = {**PIT, "mask": "m.png", "mask_classes": ["dent"]}
    report = record(row, masks={"m.png": png(half_mask(1))})
    assert report.faults_by_kind == {"unknown_class": 1}


def test_a_label_is_recorded_once_its_class_is_known(record: Recorder) -> None:
    row = {"file": "2.png", "label": "defect", "classes": ["dent"]}
    assert record(row).events == 0
    record.settings = LineConfig(classes=("dent",))
    assert record.again().classes == {"dent": 1}


def test_labels_of_quarantined_frames_are_counted_apart(record: Recorder) -> None:
    record.store.write(f"{record.delivery.folder}/frames/broken.png", b"nothing like a picture")
    report = record(good(0), {"file": "broken.png", "label": "good"})
    assert (report.quarantined, report.labelled, report.faults) == (1, 1, [])


def test_frames_are_found_by_id_and_both_must_agree(record: Recorder) -> None:
    report = record({"frame_id": "frame-0", "label": "good"}, good(1, frame_id="frame-2"))
    assert record.labels() == {"frame-0": "good"}
    assert "no frame with file '1.png' and id 'frame-2'" in report.faults[0]


def test_a_batch_without_label_file_has_no_labels(record: Recorder) -> None:
    report = record()
    assert (report.events, report.frames, report.labelled, record.tables()) == (0, 3, 0, 0)


def test_a_batch_without_frames_has_only_faults(record: Recorder) -> None:
    assert record(good(0), frames=0).faults_by_kind == {"no_frame": 1}


def test_a_batch_that_was_not_ingested_is_not_found(
    store: Store, delivery: Delivery, settings: LineConfig
) -> None:
    with pytest.raises(NotFound, match="was not ingested"):
        record_batch(store, delivery.key, settings)


def test_a_delivery_that_is_not_complete_is_not_read(record: Recorder) -> None:
    record(good(0))
    record.store.local_path(f"{record.delivery.folder}/_COMPLETE").unlink()
    with pytest.raises(InvalidInput, match="has no _COMPLETE"):
        record.again()


@pytest.mark.parametrize("time", ["yesterday", "2026-01-31T12:00:00"])
def test_a_mark_without_a_proper_time_is_refused(record: Recorder, time: str) -> None:
    record(good(0))
    path = f"{record.delivery.folder}/_COMPLETE"
    text = record.store.read(path).decode().replace("2026-01-31T12:00:00+00:00", time)
    record.store.write(path, text.encode())
    with pytest.raises(InvalidInput, match="expected ISO 8601 with an offset"):
        record.again()


def test_progress_is_told(record: Recorder) -> None:
    record(good(0), good(1))
    told: list[tuple[str, int, int]] = []
    record_batch(record.store, record.delivery.key, record.settings, lambda *all: told.append(all))
    assert told == [("reading labels", 1, 2), ("reading labels", 2, 2)]
