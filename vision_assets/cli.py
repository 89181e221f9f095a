"""The command `vision-assets`: simulate, import, run, look, promote, roll back."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click
from pydantic import ValidationError

from resources.store import store_url
from store import artifacts, batches, landing, layout, ledger, tables
from store.errors import InvalidInput, NotFound, VisionError
from store.keys import BatchKey, LineKey
from store.root import Store
from vision_assets import config
from vision_assets.deployment import promote as deployment
from vision_assets.labels.formats.registry import LAYOUTS
from vision_assets.labels.line_settings import DEFAULT_CAMERA
from vision_assets.simulation.settings import UNSEEN_KINDS, Material, SimulationSettings
from vision_assets.terminal import show_figures, show_gates, show_rows, ticking

if TYPE_CHECKING:
    from jobs.lineage import LineResult

R = TypeVar("R")

MATERIALS = get_args(Material)
LAYOUT_NAMES = sorted(LAYOUTS)


def _line_options(required: bool = True) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """``--line S/L`` or ``--site S --line L``, given to the command as `line: LineKey | None`."""

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        @click.option("--site", default=None, help="Site; with --line L.")
        @click.option("--line", default=None, help="Line, as SITE/LINE, or LINE with --site.")
        @wraps(command)
        def wrapped(*args: Any, site: str | None, line: str | None, **rest: Any) -> R:  # noqa: ANN401
            if line is None and required:
                raise InvalidInput("name the line: --line SITE/LINE, or --site SITE --line LINE")
            text = f"{site}/{line}" if site and line else line
            return command(*args, line=LineKey.parse(text) if text else None, **rest)

        return wrapped

    return decorate


_json_option = click.option("--json", "as_json", is_flag=True, help="JSON for machines.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Factory vision: frames in, releases out, every step in Dagster.

    Data is in $VISION_STORE (else .vision/store), runs are in $DAGSTER_HOME (else .vision/dagster).
    """


def main() -> None:
    """Entry point: our errors become one message and exit status 1."""
    try:
        cli(standalone_mode=True)
    except VisionError as error:
        click.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)


@cli.command()
@_line_options()
@click.option("--batch", required=True, help="Name of the batch.")
@click.option("--frames", default=200, show_default=True, type=click.IntRange(1))
@click.option("--defect-rate", default=0.15, show_default=True, type=click.FloatRange(0, 1))
@click.option("--cameras", default=1, show_default=True, type=click.IntRange(1, 8))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--material", default="turned", show_default=True, type=click.Choice(MATERIALS))
@click.option("--lighting", default=1.0, show_default=True, help="Drift: gain of the lamp.")
@click.option("--focus-px", default=0.0, show_default=True, help="Drift: blur (sigma).")
@click.option("--shift-px", nargs=2, type=float, default=(0.0, 0.0), help="Drift: camera, x y.")
@click.option("--unseen-kind", default="burr", show_default=True, type=click.Choice(UNSEEN_KINDS))
@click.option("--unseen-share", default=0.0, show_default=True, help="Drift: of the defects.")
@_json_option
def simulate(line: LineKey, batch: str, as_json: bool, **knobs: Any) -> None:  # noqa: ANN401
    """Render a production batch into the landing area."""
    from vision_assets.simulation.simulate import simulate as render

    key, store = BatchKey(line.site, line.line, batch), Store(store_url())
    try:
        settings = SimulationSettings(**knobs)
    except ValidationError as error:
        faults = [f"--{fault['loc'][0]}: {fault['msg']}" for fault in error.errors()]
        raise InvalidInput.listing("these options are wrong:", faults) from error
    with ticking() as tell:
        delivery = render(store, key, settings, tell)
    row = {"batch": str(key), "frames": delivery.frames, "folder": layout.landing(key)}
    show_rows([row], as_json, "")
    _next(as_json, f"vision-assets run --line {line}")


@cli.command(name="import")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--layout", "form", required=True, type=click.Choice(LAYOUT_NAMES))
@_line_options()
@click.option("--batch", default="", help="Name of the batch; with --batch-by, its beginning.")
@click.option("--batch-by", default="", help="Regular expression on the path; group 1 names it.")
@click.option("--good", multiple=True, help="A folder or class that means good; may be repeated.")
@click.option("--camera", default=DEFAULT_CAMERA, show_default=True, help="Where none is named.")
@_json_option
def import_(
    path: Path,
    form: str,
    line: LineKey,
    batch: str,
    batch_by: str,
    good: tuple[str, ...],
    camera: str,
    as_json: bool,
) -> None:
    """Turn a data set on disk into landing batches with labels."""
    from vision_assets.labels.importing import Request, import_dataset

    with ticking() as tell:
        report = import_dataset(
            Store(store_url()), line, Request(path, form, batch, batch_by, good, camera), tell
        )
    row = {
        "batches": ", ".join(key.batch for key in report.batches),
        "frames": report.frames,
        "good": report.good,
        "defect": report.defect,
        "unlabelled": report.unlabelled,
        "masks": report.masks,
        "boxes": report.boxes,
    }
    show_rows([{**row, "notes": list(report.notes)} if as_json else row], as_json, "")
    if not as_json:
        for note in report.notes:
            click.secho(f"note: {note}", fg="yellow")
    _next(as_json, f"vision-assets run --line {line}")


@cli.command()
@_line_options()
@click.option("--promote", is_flag=True, help="Make the bundle live when its gates pass.")
@click.option("--force", metavar="REASON", default="", help="Promote although gates failed.")
@click.option("--config", "file", type=click.Path(exists=True, path_type=Path), default=None)
@_json_option
def run(line: LineKey, promote: bool, force: str, file: Path | None, as_json: bool) -> None:
    """Materialise everything the line is missing, through Dagster, and show the figures."""
    from jobs.lineage import Release, run_line

    store = Store(store_url())
    if file is not None:
        config.save(store, line, config.read_file(file, _settings(store, line)))
    release = Release(getpass.getuser(), promote, force)
    with ticking() as ticker:
        result = run_line(store, line, release, ticker.say)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
    else:
        _print_result(result)
    if result.faults:
        sys.exit(1)


@cli.command()
@_json_option
def lines(as_json: bool) -> None:
    """List the lines that the store knows."""
    store = Store(store_url())
    show_rows([_line_row(store, key) for key in batches.lines(store)], as_json, "no line yet")


@cli.command(name="batches")
@_line_options()
@_json_option
def batches_(line: LineKey, as_json: bool) -> None:
    """List the batches of a line."""
    store = Store(store_url())
    landed = {key.batch for key in landing.complete_batches(store, line)}
    names = sorted(landed | {key.batch for key in batches.ingested(store, line)})
    rows = [_batch_row(store, BatchKey(line.site, line.line, name), landed) for name in names]
    show_rows(rows, as_json, f"line {line} has no batch")


@cli.command()
@click.argument("batch")
@_json_option
def quarantine(batch: str, as_json: bool) -> None:
    """List the broken files of a batch (SITE/LINE/BATCH) with their reasons."""
    store = Store(store_url())
    manifest = batches.manifest(store, BatchKey.parse(batch))
    if manifest is None:
        raise NotFound(f"batch {batch} is not ingested")
    rows = [
        row
        for file in manifest.quarantines
        for row in tables.read_table(store, file).select("file", "reason", "message").to_dicts()
    ]
    show_rows(rows, as_json, f"no file of {batch} is in quarantine")


@cli.command()
@click.argument("line", metavar="SITE/LINE")
@_json_option
def releases(line: str, as_json: bool) -> None:
    """List the ledger of a line, oldest first."""
    key = LineKey.parse(line)
    rows = [_entry_row(key, entry) for entry in ledger.entries(Store(store_url()), key)]
    show_rows(rows, as_json, f"line {line} has no release")


@cli.command()
@click.argument("line", metavar="SITE/LINE")
@click.option("--time", default=None, help="ISO 8601; without a zone it is UTC. Default: now.")
@_json_option
def at(line: str, time: str | None, as_json: bool) -> None:
    """Say what was live on a line at a time."""
    key = LineKey.parse(line)
    moment = _moment(time) if time else None
    entry = ledger.live(ledger.entries(Store(store_url()), key), moment)
    show_rows([_entry_row(key, entry)] if entry else [], as_json, f"nothing was live on {line}")


@cli.command()
@click.argument("line", metavar="SITE/LINE")
@click.option("--bundle", default=None, help="Name of the bundle; default: the line's newest.")
@click.option("--why", default="", help="The reason; stays in the ledger.")
@click.option("--force", metavar="REASON", default="", help="Promote although gates failed.")
@_json_option
def promote(line: str, bundle: str | None, why: str, force: str, as_json: bool) -> None:
    """Make a bundle the live release of its line."""
    store, key = Store(store_url()), LineKey.parse(line)
    current = artifacts.current(store, key, "bundles")
    name = bundle or (current.name if current else None)
    if name is None:
        raise NotFound(f"line {line} has no bundle: vision-assets run --line {line}")
    entry = deployment.promote(
        store, key, name, who=getpass.getuser(), why=force or why, force=bool(force)
    )
    show_rows([_entry_row(key, entry)], as_json, "")


@cli.command()
@click.argument("line", metavar="SITE/LINE")
@click.option("--to", type=int, default=None, help="Number of the release; default: the last.")
@click.option("--why", required=True, help="The reason; stays in the ledger.")
@_json_option
def rollback(line: str, to: int | None, why: str, as_json: bool) -> None:
    """Make the bundle of an earlier release live again."""
    key = LineKey.parse(line)
    entry = deployment.rollback(Store(store_url()), key, who=getpass.getuser(), why=why, to=to)
    show_rows([_entry_row(key, entry)], as_json, "")


def _print_result(result: LineResult) -> None:
    if result.figures:
        click.secho(f"\n{result.line}: measured on the test role", bold=True)
        show_figures(result.figures)
    if result.gates:
        click.secho(f"bundle {result.names['bundles']}", bold=True)
        show_gates(result.gates)
    for warning in result.warnings:
        click.secho(f"check: {warning}", fg="yellow")
    for fault in result.faults:
        click.secho(f"failed: {fault}", fg="red")
    if result.release:
        is_new = result.live_bundle == result.names.get("bundles")
        live = result.release if is_new else f"{result.release}, an earlier bundle"
        click.secho(f"live: {live}", bold=True)
        click.echo(f"next: vision-serve run --store {store_url()} --line {result.line}")
    elif not result.faults:
        click.echo(f"next: vision-assets promote {result.line}")


def _next(as_json: bool, command: str) -> None:
    if not as_json:
        click.echo(f"next: {command}")


def _settings(store: Store, line: LineKey) -> config.LineConfig:
    try:
        return config.load(store, line)
    except NotFound:
        return config.LineConfig()


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"--time {text!r} is not ISO 8601, such as 2026-11-21T14:20") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _line_row(store: Store, line: LineKey) -> dict[str, Any]:
    live = ledger.live(ledger.entries(store, line))
    return {
        "line": str(line),
        "batches": len(batches.ingested(store, line)),
        "landed": len(landing.complete_batches(store, line)),
        "release": live.release_of(line) if live else "-",
        "since": live.time.isoformat(timespec="seconds") if live else "-",
    }


def _batch_row(store: Store, key: BatchKey, landed: set[str]) -> dict[str, Any]:
    manifest = batches.manifest(store, key)
    counts = manifest.counts if manifest else {}
    return {
        "batch": str(key),
        "landed": "yes" if key.batch in landed else "no",
        "manifest": manifest.number if manifest else "-",
        **{name: counts.get(name, "-") for name in ("frames", "quarantined")},
    }


def _entry_row(line: LineKey, entry: ledger.Entry) -> dict[str, Any]:
    return {
        "release": entry.release_of(line),
        "time": entry.time.isoformat(timespec="seconds"),
        "action": entry.action + (" (forced)" if entry.forced else ""),
        "bundle": entry.bundle,
        "who": entry.who,
        "why": entry.why or "-",
    }
