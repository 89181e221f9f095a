"""What the command line shows: progress while it works, rows and figures at the end."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from inspection.evidence import Gate
from vision_assets.evaluation.figures import Bound, Evaluation
from vision_assets.pace import Pace

_UNKNOWN = "not measurable: the test role lacks good or defective frames"
# Wider than any row: what reads a table from a pipe wants it whole.
_PIPE_COLUMNS = 10_000


class Ticker:
    """One moving line on a terminal, plain lines in a file; on standard error."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("starting") if console.is_terminal else None
        self._pace = Pace()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note of progress (`vision_assets.progress.Progress`)."""
        line = self._pace(what, done, total)
        if line is not None:
            self.note(line)

    def say(self, step: str, text: str) -> None:
        """Take note of a log line of a step."""
        self.note(f"[{step}] {text}")

    def note(self, line: str) -> None:
        """Show a line."""
        if self._status is None:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
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
    """Rows of equal keys as a table for people or as a JSON list.

    Nothing is cut: on a terminal long cells go on in the next line, elsewhere a row is one line.
    """
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo(empty)
    else:
        table = Table(box=None, pad_edge=False)
        for name in rows[0]:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(escape(str(value)) for value in row.values()))
        Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)


def program(name: str) -> str:
    """How the user can call a program of ours: by name, or by path when it is not on the PATH."""
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name) or not beside.exists():
        return name
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def show_next(name: str, arguments: str) -> None:
    """The command that people want next."""
    click.echo(f"next: {program(name)} {arguments}")


def show_gates(gates: Sequence[Gate]) -> None:
    """Gates with what they found, the failed ones in red."""
    for gate in gates:
        colour, word = ("green", "pass") if gate.passed else ("red", "FAIL")
        click.secho(f"  {word}  {gate.name}: {gate.message}", fg=colour)


def show_figures(found: Evaluation) -> None:
    """What was measured on the test role, a line each, and what it does not prove."""
    tested = found.counts["test"]
    rows = {
        "test parts": f"{tested.good_parts} good, {tested.defective_parts} defective "
        f"({tested.frames} frames in {tested.groups} groups)",
        **{name: figure or _UNKNOWN for name, figure in found.headline().items()},
    }
    for name, text in rows.items():
        click.echo(f"  {name:<22} {text}")
    for warning in found.warnings:
        click.secho(f"  note: {warning}", fg="yellow")


def unproven(found: Evaluation) -> list[str]:
    """The limits that the test parts do not prove, each with what is missing."""
    return [_unproven(name, bound) for name, bound in found.certificate.items() if not bound.proven]


def _unproven(name: str, bound: Bound) -> str:
    return (
        f"{name} may be up to {bound.upper:.1%} (limit {bound.limit:.1%}; {bound.further} further "
        "test parts without one would prove it)"
    )
