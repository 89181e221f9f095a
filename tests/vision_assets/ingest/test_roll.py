"""No frame enters a batch twice, in whatever order frames come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import UnreadableFrame
from vision_assets.ingest.metadata import Row
from vision_assets.ingest.roll import Roll, frame_id

MOMENT = datetime(2026, 1, 31, 6, tzinfo=UTC)

FRAMES = st.lists(
    st.builds(
        lambda number, camera, second, name, content: (
            Row(f"{number}.jpg", camera, MOMENT + timedelta(seconds=second), frame_id=name),
            content * 64,
        ),
        st.integers(0, 99),
        st.sampled_from(["left", "right"]),
        st.integers(0, 1),
        st.sampled_from([None, None, "x", "y"]),
        st.sampled_from("01"),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(frames=FRAMES)
def test_ids_and_contents_are_unique_and_refusals_are_right(
    frames: list[tuple[Row, str]],
) -> None:
    roll = Roll()
    ids: dict[str, str] = {}
    contents = set()
    for row, content in frames:
        key = (content, row.camera, row.captured_at)
        name = row.frame_id or frame_id(row, content)
        is_held = key in contents or ids.get(name) == content
        reason = "duplicate" if is_held else "metadata" if name in ids else ""
        assert _refusal(roll, row, content) == reason
        if not reason:
            ids[name] = content
            contents.add(key)


def _refusal(roll: Roll, row: Row, content: str) -> str:
    """The reason, or nothing when the frame was admitted under the right id."""
    try:
        assert roll.admit(row, content) == (row.frame_id or frame_id(row, content))
    except UnreadableFrame as refused:
        return refused.reason
    return ""


def test_an_id_depends_on_bytes_camera_and_moment_but_not_on_the_zone() -> None:
    row = Row("a.jpg", "left", MOMENT)
    known = frame_id(row, "0")
    assert frame_id(Row("other.jpg", "left", MOMENT, serial="1"), "0") == known
    others = [
        frame_id(row, "1"),
        frame_id(Row("a.jpg", "right", MOMENT), "0"),
        frame_id(Row("a.jpg", "left", MOMENT + timedelta(microseconds=1)), "0"),
    ]
    assert len({known, *others}) == 4
