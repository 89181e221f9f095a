"""Work in a process of its own, followed line by line.

Training, evaluation and export load torch (seconds, hundreds of megabytes); a process of their own
gives the memory back and keeps it out of the process that orchestrates. The child writes one JSON
object a line to standard output: ``{"what", "done", "total"}`` for progress, at the end
``{"result": …}``, or ``{"error": message}`` for an error of ours. Everything else it prints is kept
for the message when it dies.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from store.errors import Unavailable, VisionError
from vision_assets.progress import Progress

# glibc gives large blocks back to the kernel at once and faults them in again for every tensor;
# keeping them makes the convolutions of a training step several times faster (docs/benchmarks.md).
_ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "67108864",
}
# Torch's threads wait for each other at every operation. By default they spin, and on a machine
# that does other work they spin for threads that are not running: 600 times slower was measured.
_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
_LAST_LINES = 20
_PARENT = "VISION_PARENT_PID"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def follow(module: str, arguments: Sequence[str], progress: Progress) -> Any:  # noqa: ANN401
    """Run ``python -m module arguments…`` to its end.

    Args:
        module: A module whose main part calls `report`.
        arguments: Its command line.
        progress: Told of each progress line.

    Returns:
        The JSON value the child gave as its result.

    Raises:
        VisionError: with the child's message, when it ended with an error of ours.
        Unavailable: when the child died otherwise; the message holds its last lines.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            **_ALLOCATOR,
            **_THREADS,
            _PARENT: str(os.getpid()),
            "PYTHONUNBUFFERED": "1",
        },
    )
    last: deque[str] = deque(maxlen=_LAST_LINES)
    result: dict[str, Any] = {}
    assert child.stdout is not None
    try:
        for line in child.stdout:
            message = _message(line)
            if message is None:
                last.append(line.rstrip())
            elif "what" in message:
                progress(message["what"], message["done"], message["total"])
            else:
                result = message
        child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
        child.stdout.close()
    if "error" in result:
        raise VisionError(result["error"])
    if child.returncode != 0 or "result" not in result:
        tail = "\n".join(last)
        raise Unavailable(f"{module} ended with status {child.returncode}; it said last:\n{tail}")
    return result["result"]


def report(work: Callable[[Progress], Any]) -> int:
    """Run `work` as the child of `follow`: progress, result and our errors become lines.

    The child is killed when its parent dies, or it would work on beside the run that comes next.

    Returns:
        The exit status.
    """
    _die_with_parent()
    try:
        value = work(lambda what, done, total: _say(what=what, done=done, total=total))
    except VisionError as error:
        _say(error=str(error))
        return 1
    _say(result=value)
    return 0


def _die_with_parent() -> None:
    parent = os.environ.get(_PARENT)
    if parent is None:
        return  # started by hand
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)  # it died before the call


def _say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _message(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.keys() & {"what", "result", "error"} else None
