"""Rows are taken as written or refused with every fault they have, whatever the file format."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.keys import BatchKey
from store.root import Store
from vision_assets.config import LineConfig
from vision_assets.ingest.metadata import Expectations, Metadata, Row, read_metadata

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
SOUND: dict[str, object] = {
    "file": "a.jpg",
    "camera": "top",
    "captured_at": "2026-01-31T06:00:00+00:00",
}
MOMENT = datetime(2026, 1, 31, 6, tzinfo=UTC)


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("store")))


def read(
    store: Store, name: str, data: bytes, line: LineConfig | None = None, now: datetime = NOW
) -> Metadata:
    store.write(f"landing/{name}", data)
    files = frozenset({"a.jpg", "b.jpg", "sub/c.jpg"})
    key = BatchKey("turin", "press", "monday")
    return read_metadata(store, "landing", Expectations(key, files, line or LineConfig(), now))


def jsonl(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def faults_of(store: Store, **change: object) -> list[str]:
    """Faults of one row that differs from a sound one; it must not be among the rows."""
    found = read(store, "metadata.jsonl", jsonl({**SOUND, **change}))
    assert found.rows == {}
    return found.faults["a.jpg"]


ROWS: Sequence[dict[str, object]] = [
    {**SOUND, "frame_id": "id-1", "serial": "007", "exposure_ms": 1.5, "lamp": "left"},
    {**SOUND, "file": "sub/c.jpg", "group": "g", "product": "tile"},
]


def as_csv(rows: Sequence[dict[str, object]]) -> bytes:
    return pl.DataFrame(rows).write_csv().encode()


def as_parquet(rows: Sequence[dict[str, object]]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(rows).with_columns(
        pl.col("captured_at").str.to_datetime(time_zone="UTC")
    ).write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("metadata.jsonl", jsonl(*ROWS)),
        ("metadata.jsonl", b"\xef\xbb\xbf" + jsonl(*ROWS).replace(b"\n", b"\r\n\r\n")),
        ("metadata.csv", as_csv(ROWS)),
        ("metadata.csv", b"\xef\xbb\xbf" + as_csv(ROWS).replace(b"\n", b"\r\n")),
        ("metadata.parquet", as_parquet(ROWS)),
    ],
)
def test_all_formats_say_the_same(store: Store, name: str, data: bytes) -> None:
    found = read(store, name, data)
    assert found.faults == {}
    first, second = found.rows["a.jpg"], found.rows["sub/c.jpg"]
    assert (first.frame_id, first.serial, first.exposure_ms) == ("id-1", "007", 1.5)
    assert (first.camera, first.captured_at, first.group) == ("top", MOMENT, None)
    assert json.loads(first.extra) == {"lamp": "left"}
    assert (second.group, second.product, second.exposure_ms) == ("g", "tile", None)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"camera": None}, "camera is missing"),
        ({"camera": ""}, "camera is missing"),
        ({"camera": ["top"]}, "camera is ['top'], expected text"),
        ({"camera": True}, "camera is True, expected text"),
        ({"camera": "\ud800"}, "camera is '\\ud800', expected text"),
        ({"captured_at": None}, "captured_at is missing"),
        ({"captured_at": ""}, "captured_at is missing"),
        ({"captured_at": "yesterday"}, "captured_at is 'yesterday', expected ISO 8601"),
        ({"captured_at": 1769839200}, "captured_at is 1769839200, expected ISO 8601"),
        ({"captured_at": "2026-01-31T06:00:00"}, "captured_at 2026-01-31T06:00:00 has no zone"),
        ({"captured_at": "2026-02-01T12:06:00Z"}, "captured_at 2026-02-01T12:06:00+00:00 lies in"),
        ({"captured_at": "0001-01-01T00:00:00+14:00"}, "captured_at is '0001-01-01"),
        ({"exposure_ms": "long"}, "exposure_ms is 'long', expected a number"),
        ({"exposure_ms": "nan"}, "exposure_ms is 'nan', expected a number"),
        ({"exposure_ms": [1]}, "exposure_ms is [1], expected a number"),
        ({"exposure_ms": 10**400}, "exposure_ms is 1000"),
        ({"frame_id": "../x"}, "frame_id '../x' is not 1 to 90 letters"),
        ({"frame_id": "x" * 91}, "frame_id 'xxxx"),
        ({"serial": {"a": 1}}, "serial is {'a': 1}, expected text"),
        ({"lamp": float("nan")}, "further columns cannot be kept as JSON"),
        ({"line": "press-9"}, "line is 'press-9', the batch was delivered to turin/press/monday"),
        ({"site": "oslo"}, "site is 'oslo', the batch was delivered to turin/press/monday"),
        ({"batch": "tuesday"}, "batch is 'tuesday', the batch was delivered to"),
    ],
)
def test_each_fault_is_named(store: Store, change: dict[str, object], fault: str) -> None:
    (found,) = faults_of(store, **change)
    assert found.startswith(fault)


def test_all_faults_of_a_row_are_named_at_once(store: Store) -> None:
    faults = faults_of(store, camera="", captured_at="", exposure_ms="x", frame_id="/")
    assert len(faults) == 4


@pytest.mark.parametrize("line", ["press", "turin/press", ""])
def test_a_row_may_name_its_own_line(store: Store, line: str) -> None:
    row = {**SOUND, "site": "turin", "line": line, "batch": "monday"}
    assert read(store, "metadata.jsonl", jsonl(row)).rows["a.jpg"].extra == "{}"


def test_a_clock_may_be_a_little_fast(store: Store) -> None:
    row = {**SOUND, "captured_at": (NOW + timedelta(minutes=4)).isoformat()}
    assert read(store, "metadata.jsonl", jsonl(row)).faults == {}


def test_cameras_and_products_must_be_those_of_the_line(store: Store) -> None:
    line = LineConfig(cameras=("left", "right"), products=("tile",))
    row = {**SOUND, "product": "brick"}
    assert read(store, "metadata.jsonl", jsonl(row), line).faults["a.jpg"] == [
        "camera 'top' is unknown to the line, which has left, right",
        "product 'brick' is unknown to the line, which has tile",
    ]
    known = {**SOUND, "camera": "left"}
    assert read(store, "metadata.jsonl", jsonl(known), line).faults == {}


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("../secret.jpg", "the path leads out of frames/"),
        ("sub/../../secret.jpg", "the path leads out of frames/"),
        ("/etc/passwd", "the path leads out of frames/"),
        ("gone.jpg", "the metadata names a file that is not below frames/"),
        ("./a.jpg", "the metadata names a file that is not below frames/"),
        ("sub\\c.jpg", "the metadata names a file that is not below frames/"),
    ],
)
def test_only_delivered_files_can_be_named(store: Store, file: str, fault: str) -> None:
    found = read(store, "metadata.jsonl", jsonl({**SOUND, "file": file}))
    assert found.rows == {}
    assert found.faults[file][0].startswith(fault)


def test_two_rows_for_a_file_cancel_each_other(store: Store) -> None:
    rows = {**SOUND, "camera": "side"}, SOUND, {**SOUND, "file": "b.jpg"}
    found = read(store, "metadata.jsonl", jsonl(*rows))
    assert list(found.rows) == ["b.jpg"]
    assert found.faults == {"a.jpg": ["more than one metadata row names it"]}


def test_two_metadata_files_are_one(store: Store) -> None:
    store.write("landing/metadata.csv", as_csv([SOUND]))
    found = read(store, "metadata.jsonl", jsonl({**SOUND, "file": "b.jpg"}, SOUND))
    assert list(found.rows) == ["b.jpg"]
    assert list(found.faults) == ["a.jpg"]


@pytest.mark.parametrize(
    ("name", "data", "place", "fault"),
    [
        ("metadata.jsonl", b'{"file": ', "metadata.jsonl line 2", "is not JSON"),
        ("metadata.jsonl", b"\xff\xfe", "metadata.jsonl line 2", "is not JSON"),
        ("metadata.jsonl", b"[" * 100_000, "metadata.jsonl line 2", "is not JSON"),
        ("metadata.jsonl", b"[1]", "metadata.jsonl line 2", "holds list, expected a JSON object"),
        ("metadata.jsonl", b"{}", "metadata.jsonl line 2", "names no file: None"),
        ("metadata.jsonl", b'{"file": 3}', "metadata.jsonl line 2", "names no file: 3"),
        ("metadata.jsonl", b'{"file": "\\ud800"}', "metadata.jsonl line 2", "names no file"),
    ],
)
def test_a_line_that_is_no_row_does_not_stop_the_others(
    store: Store, name: str, data: bytes, place: str, fault: str
) -> None:
    before, after = jsonl(SOUND), jsonl({**SOUND, "file": "b.jpg"})
    found = read(store, name, before + data + b"\n" + after)
    assert set(found.rows) == {"a.jpg", "b.jpg"}
    assert found.faults[place][0].startswith(fault)


@pytest.mark.parametrize(
    ("name", "data", "place", "fault"),
    [
        ("metadata.csv", b"file,camera\n\xff\xfe,x\n", "metadata.csv", "cannot be read to its end"),
        ("metadata.csv", b'file,camera\n"a.jpg,x\n', "metadata.csv", "cannot be read to its end"),
        ("metadata.csv", b"file\na.jpg,x\n", "metadata.csv row 1", "has more cells than"),
        ("metadata.parquet", b"PAR1 or not", "metadata.parquet", "cannot be read"),
        ("metadata.parquet", b"", "metadata.parquet", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault(
    store: Store, name: str, data: bytes, place: str, fault: str
) -> None:
    found = read(store, name, data)
    assert found.rows == {}
    assert found.faults[place][0].startswith(fault)


def test_missing_columns_are_a_fault_of_each_row(store: Store) -> None:
    found = read(store, "metadata.csv", b"file\na.jpg\nb.jpg\n")
    expected = ["captured_at is missing", "camera is missing"]
    assert found.faults == {"a.jpg": expected, "b.jpg": expected}


def test_a_link_is_not_followed(store: Store) -> None:
    store.write("elsewhere.jsonl", jsonl(SOUND))
    store.write("landing/x", b"")
    store.local_path("landing/metadata.jsonl").symlink_to(store.local_path("elsewhere.jsonl"))
    key = BatchKey("turin", "press", "monday")
    expected = Expectations(key, frozenset({"a.jpg"}), LineConfig(), NOW)
    found = read_metadata(store, "landing", expected)
    assert found.rows == {}
    assert found.faults["metadata.jsonl"] == ["is not a plain file; deliver the file itself"]


def test_no_metadata_is_no_rows(store: Store) -> None:
    key = BatchKey("turin", "press", "monday")
    expected = Expectations(key, frozenset(), LineConfig(), NOW)
    assert read_metadata(store, "landing", expected) == Metadata()


TEXTS = st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@settings(deadline=None)
@given(
    camera=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2026, 1, 31)),
    offset=st.integers(-12 * 60, 14 * 60),
    texts=st.fixed_dictionaries({"serial": TEXTS, "group": TEXTS, "product": TEXTS}),
    exposure=st.none() | st.floats(0, 1e6),
    extra=st.dictionaries(st.sampled_from(["lamp", "gain"]), st.integers() | TEXTS),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    camera: str,
    moment: datetime,
    offset: int,
    texts: dict[str, str | None],
    exposure: float | None,
    extra: dict[str, object],
) -> None:
    store = Store(str(tmp_path_factory.mktemp("store")))
    local = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    row = {"file": "a.jpg", "camera": camera, "captured_at": local.isoformat()}
    found = read(store, "metadata.jsonl", jsonl({**row, **texts, "exposure_ms": exposure, **extra}))
    expected = Row(
        "a.jpg",
        camera,
        local.astimezone(UTC),
        exposure_ms=exposure,
        extra=json.dumps(extra, sort_keys=True),
        **texts,
    )
    assert found == Metadata({"a.jpg": expected})


@settings(deadline=None)
@given(data=st.binary(max_size=300), name=st.sampled_from(["metadata.jsonl", "metadata.csv"]))
def test_noise_is_no_metadata(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    assert read(Store(str(tmp_path_factory.mktemp("store"))), name, data).rows == {}
