"""Where a server's folders would be with one line more or less: nothing is left behind there.

One line has the folder that is given to itself; of several lines each has SITE/LINE below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from serve.keeping import RINGS
from serve.known import MEMORY
from serve.segment import segments
from serve.settings import Settings
from store.errors import Conflict
from store.keys import LineKey

_ANOTHER = "another-site/another-line"

_HOLDS: dict[str, Callable[[Path], bool]] = {
    "spool": lambda folder: bool(segments(folder)),
    "cache": lambda folder: (folder / MEMORY).is_dir(),
    "kept": lambda folder: any((folder / ring).is_dir() for ring in RINGS),
}
"""Settings that name a folder, with what tells that a line's server has used one."""


def require_nothing_left(settings: Settings) -> None:
    """Refuse to begin a new spool, cache or ring beside the one that was used so far.

    Raises:
        Conflict: with what to move where.
    """
    found = dict.fromkeys(_left(settings))
    if found:
        raise Conflict("; ".join(found))


def _left(settings: Settings) -> Iterator[str]:
    is_one = len(settings.lines) == 1
    for line in settings.line_keys:
        lines = (str(line), _ANOTHER) if is_one else (str(line),)
        before = settings.model_copy(update={"lines": lines})
        for name, holds in _HOLDS.items():
            old, new = (_folder(each, name, line) for each in (before, settings))
            if old != new and holds(old) and is_one:
                yield (
                    f"{old} holds the {name} of line {line} from a server of several lines; alone "
                    f"it has {new}: move it there, or give {old} as `{name}`"
                )
            elif old != new and holds(old):
                yield (
                    f"{old} holds the {name} of a server of one line; of several each has its own: "
                    f"move all that is in it to {_any_folder(settings, name)} of its line"
                )


def _folder(settings: Settings, name: str, line: LineKey) -> Path:
    folder: Path = getattr(settings, f"{name}_folder")(line)
    return folder


def _any_folder(settings: Settings, name: str) -> str:
    """The folder of a line among several, whichever it is."""
    first = settings.line_keys[0]
    return str(_folder(settings, name, first)).replace(str(first), "SITE/LINE")
