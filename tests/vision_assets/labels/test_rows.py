from __future__ import annotations

import json

import pytest

from vision_assets.labels.rows import Fault, NumberedRow, parse

GOOD = {"file": "a.png", "label": "good"}


def only(text: bytes) -> NumberedRow | Fault:
    (found,) = parse(text)
    return found


def fault(**row: object) -> str:
    found = only(json.dumps({**GOOD, **row}).encode())
    assert isinstance(found, Fault)
    assert found.kind == "row"
    return found.message


def test_rows_keep_their_line_numbers_over_empty_lines() -> None:
    text = b'{"file": "a.png", "label": "good"}\n\n{"frame_id": "f", "label": "defect"}\n'
    found = [row for row in parse(text) if isinstance(row, NumberedRow)]
    assert [row.where for row in found] == ["line 1 (a.png)", "line 3 (f)"]


def test_every_field_is_read() -> None:
    box = {"class": "pit", "x": 1, "y": 2, "width": 3, "height": 4}
    row = {
        "file": "a.png",
        "frame_id": "f",
        "label": "defect",
        "classes": ["scratch"],
        "boxes": [box],
        "mask": "a.png",
        "mask_classes": ["pit"],
        "source": "human",
        "author": "mr",
        "recorded_at": "2026-01-31T12:00:00+01:00",
        "event_id": "e1",
        "retracts": "e0",
    }
    found = only(json.dumps(row).encode())
    assert isinstance(found, NumberedRow)
    assert found.row.boxes[0].to_row() == box
    assert found.row.named_classes == ("pit", "scratch")
    assert found.row.recorded_at
    assert found.row.recorded_at.isoformat() == row["recorded_at"]


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"nonsense", b'{"file": "a.png" "x"}'])
def test_what_is_not_json_is_named_by_its_line(text: bytes) -> None:
    found = list(parse(b'{"file": "a.png", "label": "good"}\n' + text))[1]
    assert isinstance(found, Fault)
    assert found.message.startswith("line 2: not JSON")


@pytest.mark.parametrize("text", [b"[]", b'"good"', b"3", b"null"])
def test_what_is_no_object_is_named(text: bytes) -> None:
    found = only(text)
    assert isinstance(found, Fault)
    assert "expected a JSON object" in found.message


def test_wrong_values_are_named() -> None:
    assert "line 1 (a.png): label: Input should be 'good' or 'defect'" in fault(label="ok")
    assert "lable: is no field of a label row" in fault(lable="good")
    assert "source" in fault(source="hearsay")
    assert "recorded_at" in fault(recorded_at="2026-01-31T12:00:00")
    assert "boxes.0.width" in fault(
        label="defect", boxes=[{"class": "pit", "x": 0, "y": 0, "width": 0, "height": 1}]
    )
    assert "boxes.0.x" in fault(
        label="defect", boxes=[{"class": "pit", "x": float("nan"), "y": 0, "width": 1, "height": 1}]
    )
    assert "event_id" in fault(event_id="")
    assert "retracts" in fault(retracts="")
    assert "classes" in fault(label="defect", classes="pit")


def test_all_faults_of_a_row_are_named_at_once() -> None:
    message = fault(label="ok", source="hearsay", colour="red")
    assert all(name in message for name in ("label", "source", "colour"))


def test_rows_that_contradict_themselves_are_refused() -> None:
    assert "neither file nor frame_id" in fault(file=None)
    assert "has no label" in fault(label=None)
    assert "not labelled defect" in fault(classes=["pit"])
    assert "not labelled defect" in fault(label=None, retracts="e0", classes=["pit"])
    assert "a mask but no label" in fault(label=None, retracts="e0", mask="a.png")
