"""What releases answered on a line, from the server's spool or from shipped decisions.

A spool is read by the server's own command (`vision-serve spool`): nothing here knows its form.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from store.errors import InvalidInput, NotFound
from vision_assets.terminal import program

Row = Mapping[str, Any]


def read(source: Path, line: str) -> Iterator[Row]:
    """The rows of one line, in no certain order.

    Args:
        source: A spool's folder, a folder with Parquet files below, or a file of JSON lines as
            ``vision-serve spool --json`` prints them.
        line: ``site/line``; rows of others are left out.

    Raises:
        NotFound: when there is no such file or folder.
        InvalidInput: when it is none of these.
    """
    require_answers(source)
    for row in _rows(source):
        if row.get("line") == line:
            yield row


def require_answers(source: Path) -> None:
    """Refuse what cannot hold answers, before any of it is read.

    Raises:
        NotFound, InvalidInput: as `read`.
    """
    if source.is_file():
        return
    where = (
        "a server's spool is .vision/serve/SITE/LINE/spool where it was started, unless it was "
        "given --spool"
    )
    if not source.is_dir():
        raise NotFound(f"there is no file or folder {source}: {where}")
    if not any(source.glob("*.spool")) and not any(source.rglob("*.parquet")):
        raise InvalidInput(
            f"{source} holds neither spool files nor Parquet files of decisions: {where}"
        )


def _rows(source: Path) -> Iterator[Row]:
    if source.is_file():
        with source.open() as lines:
            yield from _json_lines(source, lines)
    elif any(source.glob("*.spool")):
        yield from _spool(source)
    else:
        for table in sorted(source.rglob("*.parquet")):
            yield from _parquet(table)


def _json_lines(source: Path, lines: Iterable[str]) -> Iterator[Row]:
    for number, text in enumerate(lines, start=1):
        try:
            row = json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"{source}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise InvalidInput(f"{source}, line {number} is no JSON object")
        yield row


def _spool(folder: Path) -> Iterator[Row]:
    command = [program("vision-serve"), "spool", "--json", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield from _json_lines(folder, child.stdout)
    if child.returncode:
        raise InvalidInput(
            f"the spool {folder} is damaged (see above); `vision-serve spool --json {folder}` "
            "prints what can be read: give that as a file"
        )


def _parquet(path: Path) -> Iterator[Row]:
    import polars as pl

    for row in pl.read_parquet(path).iter_rows(named=True):
        extra = row.pop("extra", None)
        yield {**row, **(json.loads(extra) if extra else {})}
