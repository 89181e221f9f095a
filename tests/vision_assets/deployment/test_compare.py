"""The A/B report, from rows as the server writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from serve.shipping.parquet import table
from serve.spool import Spool
from store.errors import InvalidInput, NotFound
from store.keys import LineKey
from store.ledger import Entry
from vision_assets import listing
from vision_assets.deployment import answers
from vision_assets.deployment.compare import compare

LINE = LineKey("turin", "press-3")
START = datetime(2026, 11, 21, tzinfo=UTC)
PROMOTED = {"number": 1, "action": "promote", "bundle": "old", "who": "ada", "time": START}
BY_SHARE = {"share": 0.5, "cameras": ["top"]}


def ledger_with(**scope: object) -> list[Entry]:
    canary = {**PROMOTED, "number": 2, "action": "canary", "bundle": "new", "scope": scope}
    return [Entry.model_validate(PROMOTED), Entry.model_validate(canary)]


def row(frame: int, serial: str, **more: object) -> dict[str, Any]:
    received = (START + timedelta(seconds=frame)).isoformat()
    return {
        "line": str(LINE),
        "frame_id": f"f-{frame}",
        "serial": serial,
        "camera": "top",
        "product": "",
        "received_at": received,
        **more,
    }


def pair(frame: int, serial: str, live: str, shadow: str) -> dict[str, Any]:
    return row(
        frame,
        serial,
        kind="shadow",
        live_bundle="old",
        shadow_bundle="new",
        live_release="turin/press-3@1",
        shadow_release="turin/press-3@2",
        live_verdict=live,
        shadow_verdict=shadow,
        live_score=0.1,
        shadow_score=0.9,
    )


def decision(frame: int, serial: str, number: int, verdict: str, **more: object) -> dict[str, Any]:
    bundle = {1: "old", 2: "new"}[number]
    name = f"{LINE}@{number}"
    more = {"verdict": verdict, "release": name, "bundle": bundle, "score": 0.5, **more}
    return row(frame, serial, **more)


def test_pairs_are_parts_judged_by_their_worst_frame() -> None:
    rows = [
        pair(1, "a", "PASS", "PASS"),
        pair(2, "a", "PASS", "REJECT"),
        pair(3, "b", "REVIEW", "PASS"),
        pair(3, "b", "REVIEW", "PASS"),  # sent twice
        pair(4, "", "PASS", "PASS"),
        pair(5, "", "PASS", "PASS"),
    ]
    (report,) = compare(rows, LINE, ledger_with(**BY_SHARE))
    assert (report.kind, report.old, report.new) == ("shadow", "old", "new")
    assert (report.parts, report.frames) == ((4,), (5,))
    reject, review = report.differences
    assert (reject.only_new, reject.only_old, review.only_old) == (1, 0, 1)
    assert report.table["PASS"] == {"PASS": 2, "REVIEW": 0, "REJECT": 1}
    assert [(each.part, each.old, each.new) for each in report.changed] == [
        ("a", "PASS", "REJECT"),
        ("b", "REVIEW", "PASS"),
    ]
    assert json.loads(json.dumps(report.to_json()))["parts"] == [4]
    text = "\n".join(listing.report_lines(report))
    assert "a: PASS -> REJECT" in text
    assert "REJECT  0 of 4 (0.0%) -> 1 of 4 (25.0%), 1 more and 0 fewer" in text


def test_a_canary_is_compared_with_parts_that_it_could_have_got() -> None:
    rows = [
        decision(1, "early", 1, "REJECT"),
        decision(2, "n1", 2, "PASS"),
        decision(3, "o1", 1, "PASS"),
        decision(4, "o2", 1, "REVIEW"),
        decision(5, "", 1, "REJECT"),  # no serial: the canary never gets it
        decision(6, "o3", 1, "REJECT", camera="side"),
        decision(7, "n2", 2, "REJECT"),
        decision(8, "late", 1, "REJECT"),
    ]
    (report,) = compare(rows, LINE, ledger_with(**BY_SHARE))
    assert (report.kind, report.parts) == ("canary", (2, 2))
    reject, review = report.differences
    assert (reject.old.count, reject.new.count, review.old.count) == (0, 1, 1)
    assert report.notes == ("the canary answered cameras top, 50 % of parts",)


def test_a_canary_by_camera_is_said_to_be_no_fair_comparison() -> None:
    rows = [decision(1, "n", 2, "PASS"), decision(1, "o", 1, "PASS", camera="side")]
    (report,) = compare(rows, LINE, ledger_with(cameras=["top"]))
    assert report.parts == (1, 1)
    assert any("no chance drew its parts" in note for note in report.notes)
    (alone,) = compare(rows[:1], LINE, ledger_with(cameras=["top"]))
    assert alone.differences == ()
    assert any("no comparable part" in note for note in alone.notes)


def test_errors_and_late_frames_are_no_answers() -> None:
    late = decision(1, "n", 2, "REVIEW", score=None)
    failed = row(2, "n", error="internal", release=f"{LINE}@2")
    with pytest.raises(InvalidInput, match="none of 0 decisions is a canary's"):
        compare([late, failed], LINE, ledger_with(**BY_SHARE))


ROWS = [pair(1, "a", "PASS", "PASS"), decision(2, "b", 1, "PASS")]


def test_rows_come_from_a_real_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for each in ROWS:
        spool.append(each)
    spool.append({**ROWS[0], "line": "turin/press-4"})
    spool.close()
    found = list(answers.read(tmp_path / "spool", str(LINE)))
    assert [each["serial"] for each in found] == ["a", "b"]
    assert [each["frame_id"] for each in found] == ["f-1", "f-2"]


def test_rows_come_from_json_lines_and_from_parquet(tmp_path: Path) -> None:
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps(each) + "\n" for each in ROWS))
    assert list(answers.read(lines, str(LINE))) == ROWS
    folder = tmp_path / "decisions" / "date=2026-11-21"
    folder.mkdir(parents=True)
    (folder / "one.parquet").write_bytes(table([{"sequence": 1, **each} for each in ROWS]))
    found = list(answers.read(tmp_path / "decisions", str(LINE)))
    assert [each["serial"] for each in found] == ["a", "b"]
    assert found[0]["shadow_verdict"] == "PASS"
    (report,) = compare(found, LINE, ledger_with(**BY_SHARE))
    assert report.parts == (1,)


def test_what_is_no_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file or folder"):
        list(answers.read(tmp_path / "none", str(LINE)))
    with pytest.raises(InvalidInput, match="neither spool files nor Parquet"):
        list(answers.read(tmp_path, str(LINE)))
    bad = tmp_path / "bad.jsonl"
    for text, says in (("{", "line 1 is not JSON"), ("[]", "line 1 is no JSON object")):
        bad.write_text(text)
        with pytest.raises(InvalidInput, match=says):
            list(answers.read(bad, str(LINE)))
