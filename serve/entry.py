"""Where `vision-serve` begins."""

from __future__ import annotations

import sys

from serve import stops


def main() -> None:
    """Run a command of `vision-serve`."""
    if sys.argv[1:2] == ["run"]:
        stops.block()  # also in the threads that libraries begin while they are imported
    from serve.cli import main as commands

    commands()
