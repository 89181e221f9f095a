from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection.decision import Label, Rule, Thresholds
from inspection.evidence import read_golden, to_attachments
from tests.data.spots.generate import RULE
from vision_assets.export import golden
from vision_assets.export.parity import Reference

_RULE = Rule(default=Thresholds(temperature=1.0, pass_below=0.3, reject_from=0.7))


def _rows(*frames: tuple[str, float, list[str]], camera: str = "c1") -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "frame_id": frame_id,
                "camera": camera,
                "product": None,
                "label": "defect" if classes else "good",
                "classes": classes,
                "p": p,
                "verdict": "PASS" if p < 0.3 else "REJECT" if p >= 0.7 else "REVIEW",
            }
            for frame_id, p, classes in frames
        ],
        schema={
            "frame_id": pl.String,
            "camera": pl.String,
            "product": pl.String,
            "label": pl.String,
            "classes": pl.List(pl.String),
            "p": pl.Float64,
            "verdict": pl.String,
        },
    )


def test_covers_verdicts_classes_thresholds_and_ends() -> None:
    rows = _rows(
        *((f"low-{i}", 0.01 + i / 100, []) for i in range(9)),
        ("below-pass", 0.29, []),
        ("above-pass", 0.31, ["pit"]),
        *((f"band-{i}", 0.5 + i / 100, []) for i in range(5)),
        ("below-reject", 0.69, []),
        ("above-reject", 0.71, ["crack"]),
        *((f"high-{i}", 0.9 + i / 100, ["scratch"]) for i in range(9)),
    )
    chosen = golden.choose(rows, _RULE)
    assert {"below-pass", "above-pass", "below-reject", "above-reject"} <= set(chosen)
    assert {"low-0", "high-8"} <= set(chosen)
    shown = rows.filter(pl.col("frame_id").is_in(chosen))
    assert set(shown["verdict"]) == {"PASS", "REVIEW", "REJECT"}
    assert {"pit", "crack", "scratch"} == set(shown["classes"].explode().drop_nulls())


def test_frames_at_a_threshold_are_left_out() -> None:
    rows = _rows(("clear", 0.1, []), ("at", 0.3005, ["pit"]), ("high", 0.9, ["pit"]))
    assert golden.choose(rows, _RULE) == ["clear", "high"]


def test_when_all_lie_at_a_threshold_there_is_still_one() -> None:
    assert golden.choose(_rows(("at", 0.3005, ["pit"])), _RULE) == ["at"]


def test_each_camera_is_seen() -> None:
    rows = pl.concat(
        [_rows((f"{camera}-{i}", i / 50, []), camera=camera) for camera in "abc" for i in range(9)]
    )
    cameras = rows.filter(pl.col("frame_id").is_in(golden.choose(rows, _RULE)))["camera"]
    assert set(cameras) == {"a", "b", "c"}


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80), st.randoms())
def test_choice_is_small_and_does_not_depend_on_the_order(
    frames: list[tuple[float, bool]], random: object
) -> None:
    rows = _rows(*((f"f{i:03}", p, ["pit"] if bad else []) for i, (p, bad) in enumerate(frames)))
    chosen = golden.choose(rows, _RULE)
    assert 1 <= len(chosen) <= golden.MOST
    assert chosen == sorted(set(chosen))
    assert golden.choose(rows.reverse(), _RULE) == chosen


def test_golden_frames_keep_their_bytes_and_what_torch_said(reference: Reference) -> None:
    chosen = golden.choose(reference.rows, RULE)
    frames = golden.read(reference, chosen)
    assert [frame.frame_id for frame in frames] == chosen
    known = {row["frame_id"]: row for row in reference.rows.iter_rows(named=True)}
    for (frame_id, data), frame in zip(reference.read(chosen), frames, strict=True):
        row = known[frame_id]
        assert frame.data == data
        assert (frame.camera, frame.product) == ("c1", "")
        assert frame.label is Label(row["verdict"])
        assert (frame.score, list(frame.class_scores)) == (row["score"], row["class_scores"])
    files = to_attachments(golden=frames)
    assert read_golden(files["golden.tar"], files["golden.json"]) == frames
