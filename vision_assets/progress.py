"""How long work tells what it is doing, whoever listens: the command line, Dagster or a test."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called by a step as it gets on.

    `what` is a short phrase for people ("decoding frames"), `done` of `total` units are finished;
    `total` 0 means that the end is not known.
    """

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note."""


def silent(what: str, done: int, total: int) -> None:
    """A listener that does not care."""
