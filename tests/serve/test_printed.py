from __future__ import annotations

from pathlib import Path

import pytest

from serve.printed import InspectTable, info_lines, reason_text, spool_line

ROW = {"verdict": "PASS", "score": 0.02, "reasons": [], "release": "a/b@1", "latency_ms": 1.25}


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ({"code": "score", "name": "", "x": 0.414, "y": 0.625}, "score at (0.41, 0.62)"),
        ({"code": "score", "name": "not finite"}, "score not finite"),
        ({"code": "band", "name": "", "x": 0.0, "y": 1.0}, "in the review band at (0.00, 1.00)"),
        ({"code": "class", "name": "scratch"}, "scratch"),
        ({"code": "unknown_product", "name": "hinge"}, "unknown product: hinge"),
    ],
)
def test_reasons_are_words(reason: dict[str, object], text: str) -> None:
    assert reason_text(reason) == text


def test_columns_stand_under_their_names() -> None:
    table = InspectTable([Path("/x/long-name.png"), Path("/x/b/y.png")], "turin/press-3@1")
    lines = [table.header()] + [table.line(ROW | {"file": f}) for f in ("/x/long-name.png",)]
    for name, value in (("verdict", "PASS"), ("release", "a/b@1"), ("file", "long-name.png")):
        assert lines[0].index(name) == lines[1].index(value)
    assert len(lines[0]) == len(lines[1])
    assert table.line(ROW | {"file": "/x/b/y.png"}).startswith("b/y.png ")


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"verdict": "PASS", "score": 0.25, "release": "a/b@1"}, ["PASS", "0.250", "a/b@1"]),
        ({"verdict": "REVIEW", "score": None, "release": ""}, ["REVIEW", "-"]),  # a late frame
        ({"error": "empty", "release": "a/b@1"}, ["ERROR", "empty", "a/b@1"]),
        (
            {
                "kind": "shadow",
                "shadow_verdict": "REJECT",
                "shadow_score": 0.5,
                "shadow_release": "a/b@2",
            },
            ["(REJECT)", "0.500", "a/b@2"],
        ),
    ],
)
def test_every_kind_of_row_is_a_line(row: dict[str, object], shown: list[str]) -> None:
    about = {"sequence": 7, "received_at": "2026-11-21T10:00:00", "camera": "", "frame_id": "f"}
    assert spool_line(about | row).split() == ["7", "2026-11-21T10:00:00", "-", "f", *shown]


def test_a_table_needs_no_release_and_no_files() -> None:
    assert InspectTable([], "").header().split()[0] == "file"


def test_info_is_one_line_a_field_also_within() -> None:
    fields = {"line": "a/b", "fault": "", "classes": ["x", "y"], "spool": {"next_sequence": "7"}}
    lines = [line.split(maxsplit=1) for line in info_lines(fields)]
    assert lines[:3] == [["line", "a/b"], ["fault", "-"], ["classes", "x, y"]]
    assert lines[3] == ["spool", "next sequence    7"]
