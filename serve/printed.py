"""What the commands print for people: tables and lists. Machines get ``--json``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from serve.client import Row
from serve.shipping.cursor import Shipped

_REASONS_WIDTH = 40
_SPOOL = "{:>10}  {:<23}  {:<12}  {:<36}  {:<24}  {:>6}  {}"
_SHIPPING = "{:<10}  {:>10}  {:>9}  {:>9}  {:>6}  {}"


class InspectTable:
    """The table of `vision-serve inspect`; its rows may come one by one."""

    def __init__(self, files: Sequence[Path], release: str) -> None:
        """Make room for these files and for the release that probably answers."""
        self._shown = _short_names(files)
        names = max(map(len, [*self._shown.values(), "file"]))
        releases = max(len(release), len("release"))
        columns = (f"<{names}", "<7", ">5", f"<{_REASONS_WIDTH}", f"<{releases}", ">10")
        self._row = "  ".join(f"{{:{column}}}" for column in columns)

    def header(self) -> str:
        """The names of the columns."""
        names = ("file", "verdict", "score", "reasons", "release", "latency_ms")
        return self._row.format(*names)

    def line(self, row: Row) -> str:
        """The line of one file, judged or not."""
        file = self._shown[str(row["file"])]
        if "error" in row:
            message = f"{row['error']} ({row['status']})"
            return self._row.format(file, "ERROR", "", message, "", "").rstrip()
        return self._row.format(
            file,
            row["verdict"],
            "-" if row["score"] is None else f"{row['score']:.3f}",
            ", ".join(reason_text(reason) for reason in cast(list[Row], row["reasons"])),
            row["release"],
            f"{row['latency_ms']:.1f}",
        )


def reason_text(reason: Mapping[str, object]) -> str:
    """A reason in words, with its place where it has one.

    >>> reason_text({"code": "score", "name": "", "x": 0.4062, "y": 0.625})
    'score at (0.41, 0.62)'
    >>> reason_text({"code": "unknown_camera", "name": "left"})
    'unknown camera: left'
    """
    code, name = str(reason["code"]), str(reason["name"])
    match code:
        case "class":
            text = name
        case "band":
            text = "in the review band"
        case "unknown_camera" | "unknown_product":
            text = f"{code.replace('_', ' ')}: {name}"
        case _:
            text = f"{code} {name}".strip()
    if "x" in reason and "y" in reason:
        text += f" at ({reason['x']:.2f}, {reason['y']:.2f})"
    return text


def spool_header() -> str:
    """The names of the columns of `vision-serve spool`."""
    names = ("row", "time", "camera", "frame", "verdict", "score", "release")
    return _SPOOL.format(*names)


def spool_line(row: Row) -> str:
    """One row of a spool."""
    if row.get("kind") == "shadow":
        names, said = ("shadow_score", "shadow_release"), f"({row['shadow_verdict']})"
    else:
        names, said = ("score", "release"), str(row.get("verdict") or f"ERROR {row['error']}")
    score, release = (row.get(name) for name in names)
    return _SPOOL.format(
        str(row["sequence"]),
        str(row["received_at"])[:23],
        str(row["camera"]) or "-",
        str(row["frame_id"]),
        said,
        f"{score:.3f}" if isinstance(score, float) else "",
        str(release) or "-",
    )


def shipping_header() -> str:
    """The names of the columns of `vision-serve spool --shipping`."""
    return _SHIPPING.format("place", "next row", "waiting", "oldest", "lost", "fault").rstrip()


def shipping_line(place: Shipped) -> str:
    """How far a spool is shipped to one place."""
    oldest = f"{place.oldest_s:.0f} s" if place.unshipped else "-"
    return _SHIPPING.format(
        place.sink, place.next_sequence, place.unshipped, oldest, place.lost, place.fault
    ).rstrip()


def info_lines(fields: Mapping[str, object], within: str = "") -> Iterator[str]:
    """One line for each field of a message, also of those within."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from info_lines(value, f"{within}{name} ")
            continue
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield f"{within + name.replace('_', ' '):<22} {text or '-'}"


def _short_names(files: Sequence[Path]) -> dict[str, str]:
    """Each file by its path below the folder that holds all of them."""
    if not files:
        return {}
    common = os.path.commonpath([file.absolute().parent for file in files])
    return {str(file): os.path.relpath(file.absolute(), common) for file in files}
