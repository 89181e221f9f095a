"""The metadata of a landing batch: rows that can be trusted, and every fault of the others.

Rows come from ``metadata.jsonl``, ``.csv`` or ``.parquet`` (columns: `store.landing`). A fault
never stops the reading: all are found in one go.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from store import landing
from store.keys import BatchKey
from store.root import Store
from vision_assets.config import LineConfig

CLOCK_TOLERANCE = timedelta(minutes=5)

_TEXTS = ("frame_id", "camera", "serial", "group", "product")
_KEYS = ("site", "line", "batch")
_SURPLUS = "\0"
_COLUMNS = {"file", "captured_at", "exposure_ms", *_TEXTS, *_KEYS}
# A frame id becomes a name in archives and on pages, so it must be harmless in a path.
_SURROGATE = re.compile("[\ud800-\udfff]")
_FRAME_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+-]{0,89}")


@dataclass(frozen=True, slots=True)
class Row:
    """What the metadata says of one frame.

    Attributes:
        file: Path below ``frames/``.
        camera: Which camera took it.
        captured_at: When, in UTC.
        frame_id: As supplied, or None.
        serial, group, product: As supplied, or None.
        exposure_ms: As supplied, or None.
        extra: All further columns as a JSON object.
    """

    file: str
    camera: str
    captured_at: datetime
    frame_id: str | None = None
    serial: str | None = None
    group: str | None = None
    product: str | None = None
    exposure_ms: float | None = None
    extra: str = "{}"


@dataclass(frozen=True)
class Expectations:
    """What rows are checked against.

    Attributes:
        key: The batch they were delivered in.
        files: Paths below ``frames/`` that were delivered.
        settings: Of its line: known cameras and products.
        now: Nothing was captured later than this, but for clocks that differ by `CLOCK_TOLERANCE`.
    """

    key: BatchKey
    files: frozenset[str]
    settings: LineConfig
    now: datetime


@dataclass
class Metadata:
    """All metadata of one landing batch.

    Attributes:
        rows: Sound rows by file.
        faults: What is wrong, by the file (or the place in the metadata) that it is wrong with.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)

    def blame(self, where: str, *what: str) -> None:
        """Note faults of a file or place."""
        self.faults.setdefault(where, []).extend(what)


def read_metadata(store: Store, folder: str, expected: Expectations) -> Metadata:
    """The metadata of the landing batch in `folder`, checked; its file lies directly below."""
    found = Metadata()
    for name in landing.METADATA_NAMES:
        if store.exists(f"{folder}/{name}"):
            for place, value in _values(store, folder, name, found):
                _take(found, place, value, expected)
    for file in found.faults:
        found.rows.pop(file, None)
    return found


def _take(found: Metadata, place: str, value: Mapping[str, object], expected: Expectations) -> None:
    """Check one row and keep it, or its faults."""
    file = value.get("file")
    if not isinstance(file, str) or not file or not _is_unicode(file):
        found.blame(place, f"names no file: {file!r}")
        return
    if file in found.rows or file in found.faults:
        found.blame(file, "more than one metadata row names it")
        return
    faults = _file_faults(file, expected.files)
    row = _row(file, value, expected, faults)
    if row is None:
        found.blame(file, *faults)
    else:
        found.rows[file] = row


def _is_unicode(text: str) -> bool:
    """Whether no half of a surrogate pair is in it, which JSON can smuggle in."""
    return text.isascii() or not _SURROGATE.search(text)


def _file_faults(file: str, files: frozenset[str]) -> list[str]:
    if file in files:
        return []
    if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
        return ["the path leads out of frames/; give it relative to frames/, without '..'"]
    return ["the metadata names a file that is not below frames/"]


def _row(
    file: str, value: Mapping[str, object], expected: Expectations, faults: list[str]
) -> Row | None:
    """The checked row, or None after adding to `faults` everything that is wrong with it."""
    texts = {name: _text(value.get(name), name, faults) for name in _TEXTS}
    captured_at = _time(value.get("captured_at"), expected.now, faults)
    exposure_ms = _number(value.get("exposure_ms"), "exposure_ms", faults)
    extra = _extra(value, faults)
    faults += _disagreements(value, texts, expected)
    camera = texts.pop("camera")
    if faults or camera is None or captured_at is None:
        return None
    return Row(file, camera, captured_at, exposure_ms=exposure_ms, extra=extra, **texts)


def _disagreements(
    value: Mapping[str, object], texts: Mapping[str, str | None], expected: Expectations
) -> Iterator[str]:
    """What does not fit the line or the batch."""
    settings = expected.settings
    if value.get("camera") in (None, ""):
        yield "camera is missing"
    for name, known in (("camera", settings.cameras), ("product", settings.products)):
        if texts[name] is not None and known and texts[name] not in known:
            yield f"{name} {texts[name]!r} is unknown to the line, which has {', '.join(known)}"
    if texts["frame_id"] is not None and not _FRAME_ID.fullmatch(texts["frame_id"]):
        yield (
            f"frame_id {texts['frame_id'][:100]!r} is not 1 to 90 letters, digits or . _ : = + -, "
            "beginning with a letter or digit"
        )
    for name in _KEYS:
        given, own = value.get(name), getattr(expected.key, name)
        if given not in (None, "", own, str(expected.key.line_key)):
            yield f"{name} is {given!r}, the batch was delivered to {expected.key}"


def _text(value: object, name: str, faults: list[str]) -> str | None:
    """A string, or a whole number as one; None when it is missing."""
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and _is_unicode(value):
        return value
    faults.append(f"{name} is {value!r}, expected text")
    return None


def _number(value: object, name: str, faults: list[str]) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        faults.append(f"{name} is {value!r}, expected a number")
        return None
    return number


def _time(value: object, now: datetime, faults: list[str]) -> datetime | None:
    """The moment in UTC, or None after adding to `faults` why it cannot be one."""
    if value is None or value == "":
        faults.append("captured_at is missing")
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            faults.append(f"captured_at {value} has no zone; write 2026-01-31T12:00:00+00:00")
            return None
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        faults.append(f"captured_at is {value!r}, expected ISO 8601: 2026-01-31T12:00:00+00:00")
        return None
    if moment > now + CLOCK_TOLERANCE:
        faults.append(
            f"captured_at {moment.isoformat()} lies in the future; check the camera host's clock"
        )
        return None
    return moment


def _extra(value: Mapping[str, object], faults: list[str]) -> str:
    """Further columns as JSON; what JSON does not know (times from Parquet) becomes text."""
    rest = {name: part for name, part in value.items() if name not in _COLUMNS}
    if not rest:
        return "{}"
    try:
        return json.dumps(rest, sort_keys=True, default=str, allow_nan=False)
    except (ValueError, TypeError) as error:
        faults.append(f"further columns cannot be kept as JSON ({error})")
        return "{}"


def _values(
    store: Store, folder: str, name: str, found: Metadata
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Rows of one metadata file as (place for messages, values by column)."""
    path = store.local_path(f"{folder}/{name}")
    if path.is_symlink() or not path.is_file():
        found.blame(name, "is not a plain file; deliver the file itself")
    elif name.endswith(".jsonl"):
        yield from _jsonl(path.read_bytes(), name, found)
    elif name.endswith(".csv"):
        yield from _csv(path.read_bytes(), name, found)
    else:
        yield from _parquet(path.read_bytes(), name, found)


def _jsonl(data: bytes, name: str, found: Metadata) -> Iterator[tuple[str, Mapping[str, object]]]:
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{name} line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            found.blame(place, f"is not JSON ({error})")
            continue
        if isinstance(value, dict):
            yield place, value
        else:
            found.blame(place, f"holds {type(value).__name__}, expected a JSON object")


def _csv(data: bytes, name: str, found: Metadata) -> Iterator[tuple[str, Mapping[str, object]]]:
    try:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        for number, row in enumerate(csv.DictReader(text, restkey=_SURPLUS, strict=True), start=1):
            if _SURPLUS in row:
                found.blame(f"{name} row {number}", "has more cells than the heading")
            else:
                yield f"{name} row {number}", row
    except (UnicodeDecodeError, csv.Error) as error:
        found.blame(name, f"cannot be read to its end ({error}); write UTF-8 with a heading")


def _parquet(data: bytes, name: str, found: Metadata) -> Iterator[tuple[str, Mapping[str, object]]]:
    import polars as pl

    try:
        table = pl.read_parquet(data)
    except (pl.exceptions.PolarsError, OSError) as error:
        found.blame(name, f"cannot be read ({error})")
        return
    for number, value in enumerate(table.iter_rows(named=True), start=1):
        yield f"{name} row {number}", value
