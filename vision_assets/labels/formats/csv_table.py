"""Layout ``csv``: one table with a row a frame.

Columns: ``file`` (below the table's folder), ``label`` (good or defect), ``class`` or ``classes``
(several divided by ``;``), ``boxes`` (JSON as in `store.landing`), ``mask`` (picture of the one
class of its row), ``batch``, ``camera``, ``captured_at``, ``serial``, ``group``, ``product``,
``exposure_ms``. Only ``file`` is needed; further columns are kept as metadata. Without ``label``
the class says it; with neither the frame has no label. The order of the rows is that of capture.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

from pydantic import TypeAdapter

from store.errors import InvalidInput
from vision_assets.labels.formats import painting
from vision_assets.labels.formats.frame import ImportedFrame
from vision_assets.labels.formats.source import Source
from vision_assets.labels.rows import Box

_BOXES: TypeAdapter[tuple[Box, ...]] = TypeAdapter(tuple[Box, ...])
_LABEL_COLUMNS = ("file", "label", "class", "classes", "boxes", "mask", "batch")


def read(source: Source) -> Iterator[ImportedFrame]:
    """Frames in the order of the rows."""
    tables = source.documents(".csv")
    if len(tables) != 1:
        found = ", ".join(tables) or "none"
        source.fault(str(source.root), f"expected one .csv, found {found}; give the file itself")
        return
    source.use(tables[0])
    for number, row in _rows(source, tables[0]):
        try:
            yield _frame(source, row)
        except InvalidInput as error:
            source.fault(f"{tables[0]} line {number} ({row.get('file', '')})", str(error))


def _rows(source: Source, table: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows with their line in the file; names in lower case, empty cells left out."""
    try:
        with source.path(table).open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if "file" not in [_column(name) for name in reader.fieldnames or ()]:
                source.fault(table, f"has no column `file`; it has {reader.fieldnames}")
                return
            for row in reader:
                if None in row or None in row.values():
                    source.fault(
                        f"{table} line {reader.line_num}", "has not as many cells as names"
                    )
                    continue
                cells = {_column(name): value.strip() for name, value in row.items()}
                yield reader.line_num, {name: value for name, value in cells.items() if value}
    except (csv.Error, UnicodeDecodeError) as error:
        source.fault(table, f"is no CSV in UTF-8 ({error})")


def _column(name: str) -> str:
    return name.strip().lower()


def _frame(source: Source, row: Mapping[str, str]) -> ImportedFrame:
    file = _inside(source, row.get("file", ""))
    boxes = _boxes(row.get("boxes", "[]"))
    label, classes = _judge(source, row, boxes)
    source.use(file)
    load = None
    if "mask" in row:
        mask = _inside(source, row["mask"])
        source.use(mask)
        if len(classes) > 1 or (label != "good" and not classes):
            raise InvalidInput("a mask needs exactly one class, which it marks")
        load = partial(painting.from_file, source.path(mask), "".join(classes))
    return ImportedFrame(
        source.path(file),
        file,
        label,
        classes,
        tuple(box for box in boxes if box.name in classes),
        load_mask=load,
        batch=row.get("batch", ""),
        metadata=_metadata(row),
    )


def _inside(source: Source, name: str) -> str:
    file = source.inside(name) if name else None
    if file is None:
        raise InvalidInput(f"{name or 'file'} does not exist below {source.root}")
    return file


def _boxes(text: str) -> tuple[Box, ...]:
    try:
        return _BOXES.validate_python(json.loads(text))
    except ValueError as error:
        raise InvalidInput(
            f'boxes should read [{{"class": …, "x": …, "y": …, "width": …, "height": …}}] ({error})'
        ) from error


def _judge(
    source: Source, row: Mapping[str, str], boxes: tuple[Box, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """Label and defect classes from label, classes and boxes together."""
    stated = row.get("label", "").lower()
    if stated not in ("", "good", "defect"):
        raise InvalidInput(
            f"label is {row['label']!r}, expected good or defect; what kind goes into class"
        )
    cell = row.get("classes", row.get("class", ""))
    named = [name.strip() for name in cell.split(";") if name.strip()]
    label, classes = source.judge([*named, *(box.name for box in boxes)])
    if not named and not boxes:
        return stated or None, ()
    if stated and stated != label:
        raise InvalidInput(f"label is {stated}, but the classes ({', '.join(named)}) say {label}")
    return label, classes


def _metadata(row: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {k: v for k, v in row.items() if k not in _LABEL_COLUMNS}
    try:
        if "exposure_ms" in row:
            found["exposure_ms"] = float(row["exposure_ms"])
        if "captured_at" in row and datetime.fromisoformat(row["captured_at"]).tzinfo is None:
            raise InvalidInput(f"captured_at {row['captured_at']} has no offset such as +00:00")
    except ValueError as error:
        raise InvalidInput(f"exposure_ms or captured_at cannot be read ({error})") from error
    return found
