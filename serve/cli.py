"""`vision-serve`: the server on the line, its client, and checks of bundles."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import click
import grpc
from google.protobuf.json_format import MessageToDict

from inspection.bundle import Bundle, open_folder
from inspection.choose import choose
from inspection.inspector import FrameContext, Inspector
from serve import logs, stops
from serve.allocator import keep_frame_buffers
from serve.bench import LoopReport, closed_loop
from serve.check import CheckReport, check, stored_bundle
from serve.client import ACCEPTED, About, Client, files_below, transport_error
from serve.options import connecting
from serve.printed import (
    InspectTable,
    info_lines,
    shipping_header,
    shipping_line,
    spool_header,
    spool_line,
)
from serve.protocol import inspection_v1_pb2 as pb
from serve.replay import Loss, next_sequence, read
from serve.server import Server
from serve.settings import load
from serve.shipping.cursor import shipped, sinks_of
from serve.shipping.plan import PASSWORDS, passwords_of, plan_of
from serve.shipping.program import drain
from serve.station import Station
from serve.token_commands import token
from serve.transport import ClientTls
from serve.watcher import require_line
from store.errors import NotFound, UnreadableFrame, VisionError
from store.keys import LineKey
from store.root import Store

_Call = Callable[[bytes], str]
"""Sends a frame; gives why it was not answered, empty when it was."""

_ONE_CLIENT = (1,)
_MOST_CAUSES = 5


class _Commands(click.Group):
    """Prints our errors as they are; they say what to do."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click has it
        try:
            return super().invoke(ctx)
        except VisionError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vision-assets")
def main() -> None:
    """Answers frames with verdicts on the line."""


main.add_command(token)


def _store(context: click.Context, option: click.Parameter, value: str | None) -> Store | None:
    try:
        return None if value is None else Store(value)
    except (ValueError, ImportError) as error:
        raise click.BadParameter(str(error)) from error


_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_path = click.Path(path_type=Path)


@main.command()
@click.option("--store", help="Root of the store: a folder.")
@click.option("--line", multiple=True, help="SITE/LINE whose live release answers; repeatable.")
@click.option("--listen", help="host:port or unix:PATH; default 127.0.0.1:50051.")
@click.option("--fast-listen", help="host:port or unix:PATH of the fast front; default: none.")
@click.option(
    "--workers", type=int, help="Frames worked on at once; default: one more than the cores."
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
    keep_frame_buffers()
    for key in settings.line_keys:
        require_line(Store(settings.store), key, settings.cache_folder(key))
    stops.block()  # before any thread is made; `serve.entry` has done so already
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


@main.command()
@click.argument("paths", nargs=-1, required=True, type=_path)
@click.option("--target", default="127.0.0.1:50051", show_default=True)
@click.option("--camera", default="", help="Camera id sent with every frame.")
@click.option("--product", default="", help="Product id sent with every frame.")
@click.option("--parallel", default=1, show_default=True, type=click.IntRange(1, 64))
@_json
@connecting
def inspect(
    paths: tuple[Path, ...],
    target: str,
    camera: str,
    product: str,
    parallel: int,
    as_json: bool,
    tls: ClientTls,
) -> None:
    """Send files, and every file below folders, to a server; exit status 1 after an error."""
    files = _files(paths)
    faults = 0
    with Client(target, tls=tls) as client:
        table = InspectTable(files, "" if as_json else client.info().release)
        if not as_json:
            click.echo(table.header())
        for row in client.inspect_files(files, About(camera, product), parallel):
            click.echo(json.dumps(row) if as_json else table.line(row))
            faults += "error" in row
    if faults:
        raise click.ClickException(f"{faults} of {len(files)} frames were not judged")


def _files(paths: tuple[Path, ...]) -> list[Path]:
    """The files to send; says how many others there were."""
    files, skipped = files_below(paths)
    if skipped:
        click.echo(f"skipped {len(skipped)} other file(s): {ACCEPTED}", err=True)
    return files


@main.command("check-bundle")
@click.argument("path", required=False, type=_path)
@click.option("--store", callback=_store, help="Root of the store, instead of PATH.")
@click.option("--line", help="SITE/LINE, with --store.")
@click.option("--bundle", default="", help="Its name, with --store; default: the live one.")
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
@click.argument("paths", nargs=-1, type=_path)
@click.option("--target", help="host:port of a server.")
@click.option("--bundle", type=_path, help="A bundle's folder: its engine, without a server.")
@click.option("--clients", multiple=True, type=click.IntRange(1, 256), default=_ONE_CLIENT)
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(0.1, 3600))
@_json
@connecting
def bench(
    paths: tuple[Path, ...],
    target: str | None,
    bundle: Path | None,
    clients: tuple[int, ...],
    seconds: float,
    as_json: bool,
    tls: ClientTls,
) -> None:
    """Latency and throughput of a closed loop of clients, over gRPC or in this process.

    PATHS are the frames that are sent; with --bundle its golden frames are the default.
    """
    frames = [path.read_bytes() for path in _files(paths)]
    if (target is None) == (bundle is None) or (target and not frames):
        raise click.UsageError("give --target and files, or --bundle")
    opened = _remote(target, tls) if target else _local(cast(Path, bundle), frames, max(clients))
    with opened as call:
        for count in clients:
            causes: Counter[str] = Counter()
            report = closed_loop(_counting(call, causes), frames, count, seconds)
            click.echo(json.dumps(vars(report)) if as_json else _bench_line(report))
            for cause, times in causes.most_common(_MOST_CAUSES):
                click.echo(f"  {times} times: {cause}", err=True)


def _counting(call: _Call, causes: Counter[str]) -> Callable[[bytes], bool]:
    """A call that keeps why a frame was not answered, and gives whether it was."""
    lock = threading.Lock()

    def counted(data: bytes) -> bool:
        cause = call(data)
        if cause:
            with lock:
                causes[cause] += 1
        return not cause

    return counted


@contextmanager
def _remote(target: str, tls: ClientTls) -> Iterator[_Call]:
    with Client(target, tls=tls) as client:
        info = client.info()
        click.echo(
            f"every frame becomes a row among the real ones in the spool of line {info.line}'s "
            f"server at {target}",
            err=True,
        )

        def call(data: bytes) -> str:
            try:
                client.stub.Inspect(pb.Frame(encoded=data), timeout=client.timeout_s)
            except grpc.RpcError as error:
                return transport_error(error)
            return ""

        yield call


@contextmanager
def _local(folder: Path, frames: list[bytes], streams: int) -> Iterator[_Call]:
    """The bundle's engine in this process; fills `frames` when they are empty."""
    bundle = open_folder(folder)
    inspector = Inspector(bundle.contract, bundle.rule, choose(bundle, 1, streams).engine)
    frames += [] if frames else [golden.data for golden in bundle.golden()]

    def call(data: bytes) -> str:
        try:
            inspector.inspect(data, FrameContext())
        except UnreadableFrame as error:
            return str(error)
        return ""

    yield call


def _bench_line(report: LoopReport) -> str:
    return (
        f"{report.clients:>3} client(s): {report.per_s:8.1f} frames/s, p50 {report.p50_ms:.2f} ms, "
        f"p99 {report.p99_ms:.2f} ms, {report.errors} errors"
    )


@main.command()
@click.option("--target", default="127.0.0.1:50051", show_default=True)
@_json
@connecting
def info(target: str, as_json: bool, tls: ClientTls) -> None:
    """What a server runs at the moment, and why not the newest release if so."""
    with Client(target, tls=tls) as client:
        message = client.info()
    fields = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    if as_json:
        click.echo(json.dumps(fields))
        return
    for line in info_lines(fields):
        click.echo(line)


@main.command()
@click.option("--store", help="Root of the store: a folder.")
@click.option("--line", multiple=True, help="SITE/LINE whose spool is shipped; repeatable.")
@click.option("--spool", type=_path, help="Folder of the decisions, as the server had it.")
@_json
def ship(line: tuple[str, ...], as_json: bool, **given: object) -> None:
    """Ship what is in the spool of a server that has ended, also its kept frames.

    Settings are those of `run`, such as where else than to the store decisions go.
    """
    settings = load({**given, "lines": line or None})
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
    if not folder.is_dir():
        raise NotFound(
            f"there is no folder {folder}: a server's spool is .vision/serve/SITE/LINE/spool where "
            "it was started, unless it was given --spool"
        )
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
