"""What the command line shows: progress while it works, rows and figures at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from inspection.evidence import Gate
from vision_assets.evaluation.figures import Evaluation

_SECONDS_BETWEEN_LINES = 2.0
_UNKNOWN = "not measurable: the test role lacks good or defective frames"


class Ticker:
    """One moving line on a terminal, plain lines in a file; on standard error."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("starting") if console.is_terminal else None
        self._phase, self._at = "", 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note of progress (`vision_assets.progress.Progress`)."""
        share = f" {done}/{total}" if total else ""
        is_due = time.monotonic() - self._at > _SECONDS_BETWEEN_LINES or done == total
        if what != self._phase or is_due:
            self._phase, self._at = what, time.monotonic()
            self._put(f"{what}{share}")

    def say(self, step: str, text: str) -> None:
        """Take note of a log line of a step."""
        self._put(f"[{step}] {text}")

    def _put(self, line: str) -> None:
        if self._status is None:
            self._console.print(line, markup=False, highlight=False)
        else:
            self._status.update(line.replace("[", "\\["))


@contextmanager
def ticking() -> Iterator[Ticker]:
    """A ticker that is gone when the block ends."""
    ticker = Ticker(Console(stderr=True))
    status = ticker._status
    if status is None:
        yield ticker
    else:
        with status:
            yield ticker


def show_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, empty: str) -> None:
    """Rows of equal keys as a table for people or as a JSON list."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo(empty)
    else:
        table = Table(*rows[0], box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        Console().print(table)


def show_gates(gates: Sequence[Gate]) -> None:
    """Gates with what they found, the failed ones in red."""
    for gate in gates:
        colour, word = ("green", "pass") if gate.passed else ("red", "FAIL")
        click.secho(f"  {word}  {gate.name}: {gate.message}", fg=colour)


def show_figures(found: Evaluation) -> None:
    """What was measured on the test role, a line each, and what it does not prove."""
    tested = found.counts["test"]
    closed = found.band_closed
    rows = {
        "test parts": f"{tested.good_parts} good, {tested.defective_parts} defective "
        f"({tested.frames} frames in {tested.groups} groups)",
        "AUROC": found.auroc or _UNKNOWN,
        "average precision": found.average_precision or _UNKNOWN,
        "escapes": found.escapes,
        "overkill": found.overkill,
        "review": found.review,
        "escapes, band closed": closed.escapes,
        "overkill, band closed": closed.overkill,
    }
    for name, text in rows.items():
        click.echo(f"  {name:<22} {text}")
    for warning in found.warnings:
        click.secho(f"  note: {warning}", fg="yellow")
