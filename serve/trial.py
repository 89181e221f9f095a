"""A bundle is tried in a process of its own before it comes near the one that answers.

Whatever a runtime does to a bad graph (a crash, a hang, minutes of compiling) it does there; and
what trying costs, it costs at low priority and without this process's interpreter lock.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inspection.bundle import Bundle, open_folder
from inspection.choose import Chosen, choose
from inspection.engines.engine import available
from store.errors import Unavailable, VisionError

_NICE = 10
"""A tenth of a core that somebody else wants, and all of one that nobody does."""
_TIME_S = 600.0
_LOOK_S = 0.1
_LAST_CHARACTERS = 500
_COMMAND = f"import os; os.nice({_NICE}); from serve.trial import main; main()"


class UnfitBundle(Unavailable):
    """No engine here may answer for a bundle, although one that is proven for it is installed."""


@dataclass(frozen=True)
class Tried:
    """The engine that may answer for a bundle here, and how fast."""

    engine: str
    graph: str
    latency_ms: float
    rejected: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """Which engine is wanted.

    Attributes:
        engines: The names that may be chosen; empty for all that are available.
        before: What answered for the bundle here before; None when nothing did.
    """

    engines: tuple[str, ...] = ()
    before: Chosen | None = None


_ANY = Wanted()


def try_bundle(folder: Path, is_stopping: Callable[[], bool], wanted: Wanted = _ANY) -> Tried:
    """The engine for a bundle in a folder, found by another process.

    Args:
        folder: The bundle's.
        is_stopping: Looked at while the process runs.
        wanted: Which engine is wanted.

    Raises:
        UnfitBundle: when an engine that should answer for it does not, or crashes.
        Unavailable: when no engine for it is installed, or the process was ended.
    """
    child = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, str(folder), json.dumps(vars(wanted))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + _TIME_S
    while True:
        try:
            out, said = child.communicate(timeout=_LOOK_S)
            break
        except subprocess.TimeoutExpired:
            if is_stopping() or time.monotonic() > end:
                child.kill()
    return _result(folder.name, child.returncode, out, said)


def _result(bundle: str, status: int, out: bytes, said: bytes) -> Tried:
    """What the process said, or what its end means."""
    if status == 0:
        found = json.loads(out)
        return Tried(**{**found, "rejected": tuple(found["rejected"])})
    if status == 1 and out:
        found = json.loads(out)
        raise (UnfitBundle if found["is_unfit"] else Unavailable)(found["error"])
    last = said.decode(errors="replace").strip()[-_LAST_CHARACTERS:]
    message = f"the process that tried bundle {bundle} ended with {_ending(status)}: {last or '-'}"
    # SIGKILL comes from outside, for want of memory or time; other signals are the engine's own. A
    # status is Python's, which says nothing of the bundle.
    is_crash = status < 0 and status not in (-signal.SIGKILL, -signal.SIGTERM)
    raise (UnfitBundle if is_crash else Unavailable)(message)


def _ending(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


def is_unfit(bundle: Bundle, engines: Sequence[str] = ()) -> bool:
    """Whether the bundle is to blame when no engine may answer: one that is proven is here.

    Args:
        bundle: Which.
        engines: The names that may be chosen; empty for all that are available.
    """
    may = [name for name in available() if not engines or name in engines]
    return any(row.passed and row.engine in may for row in bundle.evidence())


def main() -> None:
    """Try the bundle in the folder that is given, and print what was found as JSON."""
    # The server waits for SIGTERM with these blocked, and its children inherit that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
    bundle = open_folder(Path(sys.argv[1]))
    wanted = json.loads(sys.argv[2])
    engines, before = wanted["engines"], wanted["before"]
    try:
        choice = choose(bundle, engines=engines or None, before=Chosen(*before) if before else None)
    except VisionError as error:
        told = {"error": str(error), "is_unfit": is_unfit(bundle, engines)}
        print(json.dumps(told))  # noqa: T201
        sys.stdout.flush()
        os._exit(1)
    found = Tried(
        choice.engine.name, choice.engine.graph, choice.latency_ms, tuple(map(str, choice.rejected))
    )
    print(json.dumps(vars(found)))  # noqa: T201 - this is the answer
    sys.stdout.flush()
    os._exit(0)  # a library's own end has no say in the result
