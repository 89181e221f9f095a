"""The commands that make something beside a release: the rule-based check, a Triton repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from resources.store import store_url
from store.errors import InvalidInput
from store.keys import LineKey
from store.root import Store
from vision_assets.options import either_line, json_option, require_known
from vision_assets.terminal import show_rows, ticking

if TYPE_CHECKING:
    from vision_assets.rule_based.make import Made


@click.command("rule-based")
@either_line
@click.option("--from", "snapshot", default="", help="Name of the snapshot; default: the newest.")
@click.option("--use", "name", default="", help="Make no check: use this earlier one again.")
@json_option
def rule_based(line: LineKey, snapshot: str, name: str, as_json: bool) -> None:
    """Learn the check that answers when no engine can run, and make it the line's current one.

    From the good frames of a snapshot. A check that does not tell good parts from defective ones
    answers REVIEW for everything.
    """
    from vision_assets.rule_based.make import make, use

    store = _open(line)
    if snapshot and name:
        raise InvalidInput("give either --from, to make a check, or --use, to take an earlier one")
    if name:
        found = use(store, line, name)
        why = str(found.summary.get("why_useless", ""))
        show_rows([{"check": found.name, "why_useless": why}], as_json, "")
        return
    with ticking() as tell:
        made = make(store, line, snapshot, tell)
    show_rows([_json_row(made) if as_json else _row(made)], as_json, "")
    if not as_json:
        for note in filter(None, (made.judged.why, *made.notes)):
            click.secho(f"note: {note}", fg="yellow")


@click.command("export-triton")
@either_line
@click.option("--release", "number", type=int, required=True, help="Its number in the ledger.")
@click.option(
    "--to", "target", type=click.Path(path_type=Path), required=True, help="A folder to be made."
)
@json_option
def export_triton(line: LineKey, number: int, target: Path, as_json: bool) -> None:
    """Write a release as a model repository for NVIDIA Triton: its graph, without its rule."""
    from vision_assets.export.triton import export_triton as export

    folder = export(_open(line), line, number, target)
    show_rows([{"model": folder.name, "version": number, "folder": str(folder)}], as_json, "")


def _open(line: LineKey) -> Store:
    store = Store(store_url())
    require_known(store, line)
    return store


def _row(made: Made) -> dict[str, object]:
    """For people."""
    figures = made.judged.figures
    return {
        "check": made.artifact.name,
        "answers": "REVIEW for everything" if made.judged.why else "PASS, REJECT and REVIEW",
        "calibrate": f"{figures['good_passed']} of {figures['good_parts']} good parts pass, "
        f"{figures['defective_passed']} of {figures['defective_parts']} defective",
        **{f"{what} on test": str(found) for what, found in made.test.items()},
    }


def _json_row(made: Made) -> dict[str, object]:
    return {
        "check": made.artifact.name,
        "why_useless": made.judged.why,
        "calibrate": dict(made.judged.figures),
        "test": {what: found.model_dump() for what, found in made.test.items()},
        "notes": list(made.notes),
    }


COMMANDS = (rule_based, export_triton)
