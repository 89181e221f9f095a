"""Options that commands share, and what they check before anything else."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from store import batches
from store.errors import InvalidInput, NotFound
from store.keys import LineKey
from store.root import Store

R = TypeVar("R")

json_option = click.option("--json", "as_json", is_flag=True, help="JSON for machines.")


def line_options(required: bool = True) -> Callable[[Callable[..., R]], Callable[..., R]]:
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


def either_line(command: Callable[..., R]) -> Callable[..., R]:
    """The line as the argument SITE/LINE or as `line_options`, given to the command as `line`."""

    @click.argument("named", metavar="[SITE/LINE]", required=False)
    @line_options(required=False)
    @wraps(command)
    def wrapped(*args: Any, named: str | None, line: LineKey | None, **rest: Any) -> R:  # noqa: ANN401
        if (named is None) == (line is None):
            raise InvalidInput("name the line once: SITE/LINE, or --line SITE/LINE")
        return command(*args, line=line or LineKey.parse(str(named)), **rest)

    return wrapped


def require_store(store: Store) -> None:
    """Refuse a store that is not there: its path is likely to be misspelt.

    Raises:
        NotFound: with where it was looked for.
    """
    if not store.exists(""):
        raise NotFound(
            f"there is no store at {store.url}: set VISION_STORE to its folder, or deliver a first "
            "batch with `vision-assets simulate` or `vision-assets import`, which make it"
        )


def require_known(store: Store, line: LineKey) -> None:
    """Refuse a line that the store does not know: it is likely to be misspelt.

    Raises:
        NotFound: with the lines that there are; also when the store itself is not there.
    """
    require_store(store)
    known = batches.lines(store)
    if line in known:
        return
    there = (
        f"there are: {', '.join(map(str, known))}"
        if known
        else "deliver one with `vision-assets simulate` or `vision-assets import`"
    )
    raise NotFound(f"no line {line}: it has no batch and no delivery; {there}")
