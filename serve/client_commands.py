"""The commands of `vision-serve` that ask a server: `inspect`, `bench` and `info`.

Each asks for what it needs and no more, so that a caller with the role `inspect` can use the first
two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import cast

import click
import grpc
from google.protobuf.json_format import MessageToDict

from inspection.bundle import open_folder
from inspection.choose import choose
from inspection.inspector import FrameContext, Inspector
from serve.bench import ERROR, JUDGED, LATE, QUEUE_FULL, Causes, LoopReport, closed_loop
from serve.client import ACCEPTED, About, Client, files_below, transport_error
from serve.options import connecting
from serve.printed import InspectTable, info_lines
from serve.protocol import inspection_v1_pb2 as pb
from serve.transport import ClientTls
from store.errors import UnreadableFrame

_Call = Callable[[Causes, bytes], str]
"""Sends a frame; gives what became of it, as `closed_loop` counts it, and notes why not."""

_ONE_CLIENT = (1,)

_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_path = click.Path(path_type=Path)
_line = click.option("--line", default="", help="SITE/LINE; for a server with several.")


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_path)
@click.option("--target", default="127.0.0.1:50051", show_default=True)
@_line
@click.option("--camera", default="", help="Camera id sent with every frame.")
@click.option("--product", default="", help="Product id sent with every frame.")
@click.option("--serial", default="", help="Serial of the part that all these frames show.")
@click.option("--parallel", default=1, show_default=True, type=click.IntRange(1, 64))
@_json
@connecting
def inspect(
    paths: tuple[Path, ...],
    target: str,
    line: str,
    camera: str,
    product: str,
    serial: str,
    parallel: int,
    as_json: bool,
    tls: ClientTls,
) -> None:
    """Send files, and every file below folders, to a server; exit status 1 after an error.

    The id of each frame is the name of its file.
    """
    files = _files(paths)
    about = About(camera, product, serial, line)
    faults = 0
    with Client(target, tls=tls) as client:
        rows = client.inspect_files(files, about, parallel)
        first = list(islice(rows, 1))  # its release is probably that of all: its column fits
        table = InspectTable(files, str(first[0].get("release", "")) if first else "")
        if not as_json:
            click.echo(table.header())
        for row in chain(first, rows):
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


@click.command()
@click.argument("paths", nargs=-1, type=_path)
@click.option("--target", help="host:port of a server.")
@click.option("--bundle", type=_path, help="A bundle's folder: its engine, without a server.")
@_line
@click.option("--clients", multiple=True, type=click.IntRange(1, 256), default=_ONE_CLIENT)
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(0.1, 3600))
@_json
@connecting
def bench(
    paths: tuple[Path, ...],
    target: str | None,
    bundle: Path | None,
    line: str,
    clients: tuple[int, ...],
    seconds: float,
    as_json: bool,
    tls: ClientTls,
) -> None:
    """Latency and throughput of a closed loop of clients, over gRPC or in this process.

    PATHS are the frames that are sent; with --bundle its golden frames are the default. Frames that
    nobody looked at (late, queue_full) are counted apart. Exit status 1 after an error.
    """
    frames = [path.read_bytes() for path in _files(paths)]
    if (target is None) == (bundle is None) or (target and not frames):
        raise click.UsageError("give --target and files, or --bundle")
    opened = (
        _remote(target, line, tls) if target else _local(cast(Path, bundle), frames, max(clients))
    )
    errors = 0
    with opened as call:
        for count in clients:
            causes = Causes()
            report = closed_loop(partial(call, causes), frames, count, seconds)
            click.echo(json.dumps(vars(report)) if as_json else _bench_line(report))
            for cause, times in causes.most_common():
                click.echo(f"  {times} times: {cause}", err=True)
            errors += report.errors
    if errors:
        raise click.ClickException(f"{errors} calls ended with an error")


@contextmanager
def _remote(target: str, line: str, tls: ClientTls) -> Iterator[_Call]:
    with Client(target, tls=tls) as client:
        click.echo(
            f"every frame becomes a row among the real ones in the spool of the server at {target}",
            err=True,
        )

        def call(causes: Causes, data: bytes) -> str:
            try:
                frame = pb.Frame(encoded=data, line=line)
                answer = client.stub.Inspect(frame, timeout=client.timeout_s)
            except grpc.RpcError as error:
                causes.add(transport_error(error))
                return ERROR
            return _outcome(answer.result)

        yield call


def _outcome(result: pb.Result) -> str:
    """Whether a frame was looked at, and if not, why."""
    why = {reason.code for reason in result.reasons} & {LATE, QUEUE_FULL}
    return why.pop() if why and not result.HasField("score") else JUDGED


@contextmanager
def _local(folder: Path, frames: list[bytes], streams: int) -> Iterator[_Call]:
    """The bundle's engine in this process; fills `frames` when they are empty."""
    bundle = open_folder(folder)
    inspector = Inspector(bundle.contract, bundle.rule, choose(bundle, 1, streams).engine)
    frames += [] if frames else [golden.data for golden in bundle.golden()]

    def call(causes: Causes, data: bytes) -> str:
        try:
            inspector.inspect(data, FrameContext())
        except UnreadableFrame as error:
            causes.add(str(error))
            return ERROR
        return JUDGED

    yield call


def _bench_line(report: LoopReport) -> str:
    return (
        f"{report.clients:>3} client(s): {report.per_s:8.1f} frames/s, p50 {report.p50_ms:.2f} ms, "
        f"p99 {report.p99_ms:.2f} ms, {report.late} late, {report.queue_full} queue_full, "
        f"{report.errors} errors"
    )


@click.command()
@click.option("--target", default="127.0.0.1:50051", show_default=True)
@_line
@_json
@connecting
def info(target: str, line: str, as_json: bool, tls: ClientTls) -> None:
    """What a server runs at the moment, and why not the newest release if so.

    Needs the role `read`.
    """
    with Client(target, tls=tls) as client:
        message = client.info(line)
    fields = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    if as_json:
        click.echo(json.dumps(fields))
        return
    for text in info_lines(fields):
        click.echo(text)


COMMANDS = (inspect, bench, info)
