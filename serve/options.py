"""Options that several commands of `vision-serve` share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from serve.transport import ClientTls

_file = click.Path(path_type=Path, dir_okay=False)


def connecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a connection, which it gets together as `tls`."""

    @click.option("--ca", type=_file, help="CA certificate of the server: speak TLS.")
    @click.option("--cert", type=_file, help="Client certificate, for a server that asks for one.")
    @click.option("--key", type=_file, help="Its private key.")
    @click.option("--token-file", type=_file, help="File that holds the token.")
    @functools.wraps(command)
    def connected(
        *args: Any,  # noqa: ANN401 - as click gives them
        ca: Path | None,
        cert: Path | None,
        key: Path | None,
        token_file: Path | None,
        **given: Any,  # noqa: ANN401
    ) -> None:
        command(*args, tls=ClientTls(ca, cert, key, token_file), **given)

    return connected
