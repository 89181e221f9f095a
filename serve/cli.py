"""`vision-serve`: the server on the line, its client, and checks of bundles."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from inspection.bundle import Bundle, open_folder
from serve import logs, native_output, stops
from serve.allocator import keep_frame_buffers
from serve.check import CheckReport, check, stored_bundle
from serve.client_commands import COMMANDS
from serve.known import MEMORY
from serve.preflight import remarks, require_addresses, require_spool, require_spools
from serve.printed import shipping_header, shipping_line, spool_header, spool_line
from serve.replay import Loss, next_sequence, read
from serve.server import Server
from serve.settings import Settings, load
from serve.shipping.cursor import shipped, sinks_of
from serve.shipping.plan import PASSWORDS, passwords_of, plan_of
from serve.shipping.program import drain
from serve.station import Station
from serve.token_commands import token
from serve.watcher import require_line
from store.errors import InvalidInput, NotFound, VisionError
from store.keys import LineKey
from store.root import Store


class _Commands(click.Group):
    """Prints our errors as they are; they say what to do."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click has it
        try:
            return super().invoke(ctx)
        except VisionError as error:
            raise click.ClickException(str(error)) from error


_log = logging.getLogger(__name__)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vision-assets")
def main() -> None:
    """Answers frames with verdicts on the line."""


for _command in (*COMMANDS, token):
    main.add_command(_command)


def _store(context: click.Context, option: click.Parameter, value: str | None) -> Store | None:
    try:
        return None if value is None else Store(value)
    except (ValueError, ImportError) as error:
        raise click.BadParameter(str(error)) from error


_store_option = click.option(
    "--store",
    envvar=["VISION_SERVE_STORE", "VISION_STORE"],
    help="Root of the store: a folder; default: $VISION_STORE.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_path = click.Path(path_type=Path)


@main.command()
@_store_option
@click.option("--line", multiple=True, help="SITE/LINE whose live release answers; repeatable.")
@click.option("--listen", help="host:port or unix:PATH; default 127.0.0.1:50051.")
@click.option("--fast-listen", help="host:port or unix:PATH of the fast front; default: none.")
@click.option(
    "--workers", type=int, help="Frames worked on at once; default: the cores of this process."
)
@click.option("--spool", type=_path, help="Folder of the decisions.")
@click.option("--cache", type=_path, help="Folder of fetched bundles.")
@click.option("--strict", is_flag=True, default=None, help="Sync each decision before its answer.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
def run(line: tuple[str, ...], **given: object) -> None:
    """Answer frames until SIGTERM.

    Every setting, also those without an option here, may be given in the environment as
    VISION_SERVE_ and its name in capitals; see docs/guides/serve.md.
    """
    settings = load({**given, "lines": line or None})
    logs.set_up(settings.log_level)
    for remark in remarks(settings, os.environ):
        _log.warning("a setting has no effect", extra={"why": remark})
    require_addresses(settings)
    keep_frame_buffers()
    for key in settings.line_keys:
        require_line(Store(settings.store), key, settings.cache_folder(key))
    stops.block()  # before any thread is made; `serve.entry` has done so already
    memory = settings.cache_folder(settings.line_keys[0]) / MEMORY
    with native_output.told(memory / native_output.FILE):
        _serve(settings)


def _serve(settings: Settings) -> None:
    """Answer frames until a signal ends that."""
    server = Server(settings)
    address = server.start()
    # What is loaded by now stays: the collector need not walk through it between two frames.
    gc.collect()
    gc.freeze()
    also = f", fast on {server.fast_address}" if server.fast_address else ""
    click.echo(f"vision-serve ready on {address}: {_answering(server)}{also}")
    signal.sigwait(stops.STOPS)
    server.drain()


def _answering(server: Server) -> str:
    workers = server.settings.workers
    told = [_release_line(station) for station in server.stations.values()]
    return f"{'; '.join(told)}, {workers} worker(s)"


def _release_line(station: Station) -> str:
    release = station.stand_in.live()
    if release is None:
        return f"line {station.line} has no live release yet, frames are refused"
    return f"release {release.name}, engine {release.engine}"


@main.command("check-bundle")
@click.argument("path", required=False, type=_path)
@click.option(
    "--store",
    callback=_store,
    envvar="VISION_STORE",
    help="Root of the store, instead of PATH; default: $VISION_STORE.",
)
@click.option("--line", help="SITE/LINE, with --store.")
@click.option(
    "--bundle", default="", help="Its name or how it begins, with --store; default: the live one."
)
@_json
def check_bundle(
    path: Path | None, store: Store | None, line: str | None, bundle: str, as_json: bool
) -> None:
    """Verify every hash, open the engines, replay the golden frames; exit status 1 if one fails."""
    with _bundle(path, store, line, bundle) as found:
        report = check(found)
    click.echo(json.dumps(report.to_document()) if as_json else _check_lines(report))


@contextmanager
def _bundle(
    path: Path | None, store: Store | None, line: str | None, name: str
) -> Iterator[Bundle]:
    if path is not None:
        yield open_folder(path)
    elif store is not None and line is not None:
        with stored_bundle(store, LineKey.parse(line), name) as found:
            yield found
    else:
        raise click.UsageError("give the PATH of a bundle's folder, or --store and --line")


def _check_lines(report: CheckReport) -> str:
    lines = [
        f"bundle {report.bundle}: every hash is right, {report.frames} golden frames reproduced",
        f"  answers: {report.choice}",
    ]
    lines += [f"  not: {rejection}" for rejection in report.choice.rejected]
    return "\n".join(lines)


@main.command()
@_store_option
@click.option("--line", multiple=True, help="SITE/LINE whose spool is shipped; repeatable.")
@click.option("--spool", type=_path, help="Folder of the decisions, as the server had it.")
@_json
def ship(line: tuple[str, ...], as_json: bool, **given: object) -> None:
    """Ship what is in the spool of a server that has ended, also its kept frames.

    Settings are those of `run`, such as where else than to the store decisions go.
    """
    settings = load({**given, "lines": line or None})
    logs.set_up("warning")  # such as which kept frame stays here, and why
    require_spools(settings)
    os.environ.update({PASSWORDS[k]: value for k, value in passwords_of(settings).items()})
    for name, counts in drain(plan_of(settings)).items():
        told = ", ".join(f"{count} to {place}" for place, count in counts.items())
        click.echo(json.dumps({"line": name, **counts}) if as_json else f"{name}: {told}")


@main.command()
@click.argument("folder", type=_path)
@click.option("--first", default=1, show_default=True, help="Rows before this number are left out.")
@click.option("--shipping", is_flag=True, help="How far it is shipped, instead of its rows.")
@_json
def spool(folder: Path, first: int, shipping: bool, as_json: bool) -> None:
    """The decisions and errors in a spool, also while its server runs; exit status 1 if damaged."""
    try:
        require_spool(folder)
    except (NotFound, InvalidInput) as error:
        raise click.BadParameter(str(error), param_hint="FOLDER") from error
    if shipping:
        places = shipped(folder, sinks_of(folder), next_sequence(folder))
        if not as_json:
            click.echo(shipping_header())
        for place in places:
            click.echo(json.dumps(asdict(place)) if as_json else shipping_line(place))
        return
    losses: list[Loss] = []
    count = 0
    if not as_json:
        click.echo(spool_header())
    for row in read(folder, first, losses.append):
        click.echo(json.dumps(row) if as_json else spool_line(row))
        count += 1
    for loss in losses:
        click.echo(str(loss), err=True)
    if losses:
        raise click.ClickException(f"the spool is damaged; {count} rows are readable")
