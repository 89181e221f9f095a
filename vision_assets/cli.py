"""The command `vision-assets`: simulate, import, run, look, promote, roll back."""

from __future__ import annotations

import getpass
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from pydantic import ValidationError

from resources.store import store_url
from store import batches, landing, layout, tables
from store.errors import InvalidInput, NotFound, VisionError
from store.keys import BatchKey, LineKey
from store.root import Store
from vision_assets import config, listing
from vision_assets.exporting import COMMANDS as EXPORTING
from vision_assets.labels.formats.registry import LAYOUTS
from vision_assets.labels.line_settings import DEFAULT_CAMERA
from vision_assets.options import json_option, line_options, require_known, require_store
from vision_assets.releasing import COMMANDS
from vision_assets.simulation.settings import UNSEEN_KINDS, Material, SimulationSettings
from vision_assets.terminal import (
    program,
    show_figures,
    show_gates,
    show_next,
    show_rows,
    ticking,
    unproven,
)

if TYPE_CHECKING:
    from jobs.lineage import LineResult

MATERIALS = get_args(Material)
LAYOUT_NAMES = sorted(LAYOUTS)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="vision-assets")
def cli() -> None:
    """Factory vision: frames in, releases out, every step in Dagster.

    Data is in $VISION_STORE (else .vision/store), runs are in $DAGSTER_HOME (else .vision/dagster).
    """


for _command in (*COMMANDS, *EXPORTING):
    cli.add_command(_command)


def main() -> None:
    """Entry point: our errors become one message and exit status 1."""
    try:
        cli(standalone_mode=True)
    except VisionError as error:
        click.secho(f"Error: {error}", fg="red", err=True)  # as click writes its own
        sys.exit(1)


@cli.command()
@line_options()
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
@click.option("--mix", is_flag=True, help="Even into a line that has frames of real parts.")
@json_option
def simulate(line: LineKey, batch: str, mix: bool, as_json: bool, **knobs: Any) -> None:  # noqa: ANN401
    """Render a production batch into the landing area."""
    from vision_assets.simulation.simulate import simulate as render

    key, store = BatchKey(line.site, line.line, batch), Store(store_url())
    try:
        settings = SimulationSettings(**knobs)
    except ValidationError as error:
        faults = [f"--{fault['loc'][0]}: {fault['msg']}" for fault in error.errors()]
        raise InvalidInput.listing("these options are wrong:", faults) from error
    with ticking() as tell:
        before = landing.delivery(store, key)
        delivery = render(store, key, settings, tell, mix=mix)
    is_new = delivery != before
    row = {"batch": str(key), "frames": delivery.frames, "folder": layout.landing(key)}
    if not is_new and not as_json:
        click.echo("nothing to do: the batch was rendered from these very settings before")
    show_rows([{**row, "rendered": is_new} if as_json else row], as_json, "")
    _next(as_json, f"run --line {line}")


@cli.command(name="import")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--layout", "form", required=True, type=click.Choice(LAYOUT_NAMES))
@line_options()
@click.option("--batch", default="", help="Name of the batch; with --batch-by, its beginning.")
@click.option("--batch-by", default="", help="Regular expression on the path; group 1 names it.")
@click.option("--good", multiple=True, help="A folder or class that means good; may be repeated.")
@click.option("--no-good", is_flag=True, help="The data set has defects only, and is meant to.")
@click.option("--camera", default=DEFAULT_CAMERA, show_default=True, help="Where none is named.")
@json_option
def import_(
    path: Path,
    form: str,
    line: LineKey,
    batch: str,
    batch_by: str,
    good: tuple[str, ...],
    no_good: bool,
    camera: str,
    as_json: bool,
) -> None:
    """Turn a data set on disk into landing batches with labels."""
    from vision_assets.labels.importing import Request, import_dataset

    request = Request(path, form, batch, batch_by, good, no_good, camera)
    with ticking() as tell:
        report = import_dataset(Store(store_url()), line, request, tell)
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
    _next(as_json, f"run --line {line}")


@cli.command()
@line_options()
@click.option("--promote", is_flag=True, help="Make the bundle live when its gates pass.")
@click.option("--force", metavar="REASON", default="", help="Promote although gates failed.")
@click.option(
    "--config",
    "file",
    type=click.Path(exists=True, path_type=Path),
    default=None,
    help="YAML that states the line's settings; they stay in force.",
)
@json_option
def run(line: LineKey, promote: bool, force: str, file: Path | None, as_json: bool) -> None:
    """Materialise everything the line is missing, through Dagster, and show the figures."""
    store = Store(store_url())
    require_known(store, line)
    if file is not None:
        _change_settings(store, line, file, as_json)
    try:
        with ticking() as ticker:
            ticker.note("loading Dagster")
            from jobs.lineage import Release, run_line

            release = Release(getpass.getuser(), promote, force)
            result = run_line(store, line, release, ticker.say)
    except KeyboardInterrupt as stop:
        click.secho("stopped; the same command goes on where it was", fg="yellow", err=True)
        sys.exit(128 + getattr(stop, "number", signal.SIGINT))
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
    else:
        _print_result(result, promote or bool(force))
    if result.faults:
        sys.exit(1)


@cli.command()
@click.argument("line", metavar="SITE/LINE")
@json_option
def settings(line: str, as_json: bool) -> None:
    """Show a line's settings in force, and which differ from the defaults."""
    store, key = Store(store_url()), LineKey.parse(line)
    require_known(store, key)
    present, defaults = config.load(store, key), config.flat(config.LineConfig())
    rows = [
        {"setting": name, "value": value, "default": defaults[name]}
        for name, value in config.flat(present).items()
    ]
    show_rows(rows if as_json else list(map(listing.setting_row, rows)), as_json, "")


@cli.command()
@json_option
def lines(as_json: bool) -> None:
    """List the lines that the store knows."""
    store = Store(store_url())
    require_store(store)
    rows = [listing.line_row(store, key) for key in batches.lines(store)]
    show_rows(rows, as_json, f"no line yet in the store {store.url}")


@cli.command(name="batches")
@line_options()
@json_option
def batches_(line: LineKey, as_json: bool) -> None:
    """List the batches of a line."""
    store = Store(store_url())
    require_known(store, line)
    landed = {key.batch for key in landing.complete_batches(store, line)}
    names = sorted(landed | {key.batch for key in batches.ingested(store, line)})
    rows = [
        listing.batch_row(store, BatchKey(line.site, line.line, name), landed) for name in names
    ]
    show_rows(rows, as_json, f"line {line} has no batch")


@cli.command()
@click.argument("batch")
@json_option
def quarantine(batch: str, as_json: bool) -> None:
    """List the broken files of a batch (SITE/LINE/BATCH) with their reasons."""
    store, key = Store(store_url()), BatchKey.parse(batch)
    require_known(store, key.line_key)
    manifest = batches.manifest(store, key)
    if manifest is None:
        names = ", ".join(each.batch for each in batches.ingested(store, key.line_key)) or "none"
        raise NotFound(f"batch {batch} is not ingested; of {key.line_key} there are: {names}")
    rows = [
        row
        for file in manifest.quarantines
        for row in tables.read_table(store, file).select("file", "reason", "message").to_dicts()
    ]
    show_rows(rows, as_json, f"no file of {batch} is in quarantine")


def _change_settings(store: Store, line: LineKey, file: Path, is_quiet: bool) -> None:
    """Put the settings of a file in force and say what that changes."""
    old = _settings(store, line)
    new = config.read_file(file, old)
    config.save(store, line, new)
    for name, (before, after) in config.changes(old, new).items():
        click.echo(
            f"setting {name}: {listing.shown(before)} -> {listing.shown(after)}", err=is_quiet
        )


def _print_result(result: LineResult, is_promoting: bool) -> None:
    """What was measured, what failed, what is live and what to do next."""
    if result.figures:
        click.secho(f"\n{result.line}: measured on the test role", bold=True)
        show_figures(result.figures)
    bundle = result.names.get("bundles")
    if bundle:
        click.secho(f"bundle {bundle}", bold=True)
        show_gates(result.gates)
    for word, checks in (("check", result.warnings), ("failed", result.failed_checks)):
        for check in checks:
            # The gates are shown above, the failed ones with what to do.
            is_above = bundle is not None and check.asset == "bundle"
            text = f"{check.asset}: {check.name}" if is_above else str(check)
            click.secho(f"{word}: {text}", fg="yellow" if word == "check" else "red")
    for error in result.errors:
        click.secho(f"failed: {error}", fg="red")
    _print_live(result, bundle)
    _print_next(result, bundle, is_promoting)


def _print_live(result: LineResult, bundle: str | None) -> None:
    is_shown = bool(result.release) and result.live_bundle == bundle
    if result.figures and not bundle:
        live = f"live: {result.release} is an earlier one" if result.release else "nothing is live"
        click.secho(f"no bundle of this evaluation; {live}", bold=True)
    elif not result.release:
        click.secho("nothing is live", bold=True)
    elif not is_shown:
        click.secho(f"live: {result.release}, an earlier bundle", bold=True)
    else:
        missing = unproven(result.figures) if result.figures else []
        plural = "limits are" if len(missing) > 1 else "limit is"
        text = f", but {len(missing)} {plural} not proven yet: {'; '.join(missing)}"
        click.secho(f"live: {result.release}{text if missing else ''}", bold=True)


def _print_next(result: LineResult, bundle: str | None, is_promoting: bool) -> None:
    line = result.line
    if result.failed_checks:
        force = f"promote {line}" if bundle else f"run --line {line}"
        click.echo(
            "next: mend the cause and run again, or "
            f"`{program('vision-assets')} {force} --force REASON`"
        )
    if result.faults:
        return
    if result.live_bundle != bundle:
        show_next("vision-assets", f"promote {line}")
        return
    if is_promoting and result.was_live == result.release:
        click.echo("same bundle as live, nothing to promote")
    show_next("vision-serve", f"run --store {store_url()} --line {line}")


def _next(as_json: bool, arguments: str) -> None:
    if not as_json:
        show_next("vision-assets", arguments)


def _settings(store: Store, line: LineKey) -> config.LineConfig:
    try:
        return config.load(store, line)
    except NotFound:
        return config.LineConfig()
