from __future__ import annotations

from pathlib import Path

import pytest

from serve.printed import InspectTable, info_lines, reason_text

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


def test_a_table_needs_no_release_and_no_files() -> None:
    assert InspectTable([], "").header().split()[0] == "file"


def test_info_is_one_line_a_field_also_within() -> None:
    fields = {"line": "a/b", "fault": "", "classes": ["x", "y"], "spool": {"next_sequence": "7"}}
    lines = [line.split(maxsplit=1) for line in info_lines(fields)]
    assert lines[:3] == [["line", "a/b"], ["fault", "-"], ["classes", "x, y"]]
    assert lines[3] == ["spool", "next sequence    7"]
