"""What native libraries write to standard error, logged as JSON like all else.

libpng, libjpeg and gRPC's core write lines of their own to descriptor 2 and cannot be told not to.
So that descriptor leads to a file, which a thread reads now and then, and the logs go on to where
it led before. A file, not a pipe: nobody who writes ever waits, and what a dying process says last
is there for the next start to tell.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_log = logging.getLogger(__name__)

FILE = "stderr.txt"
_STDERR = 2
_TELL_S = 10.0
_MOST_BYTES = 2**16  # read at once; when it is longer, the file begins anew
_MOST_LINES, _MOST_CHARACTERS = 5, 200
_LAST_CHARACTERS = 2000


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Lead descriptor 2 to a file and log what is written there; `sys.stderr` stays what it was.

    When the file cannot be written, nothing is changed.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _tell_last(file)
        how = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(file, how, 0o600)
    except OSError as error:
        _log.warning("lines of libraries are not logged as JSON", extra={"error": str(error)})
        yield
        return
    sys.stderr.flush()
    before = sys.stderr
    with os.fdopen(os.dup(_STDERR), "w", buffering=1, errors="backslashreplace") as stream:
        _write_to(stream)
        faulthandler.enable(stream)
        os.dup2(descriptor, _STDERR)
        stopping = threading.Event()
        reader = threading.Thread(
            target=_tell_on, args=(descriptor, stopping), name="native-output", daemon=True
        )
        reader.start()
        try:
            yield
        finally:
            os.dup2(stream.fileno(), _STDERR)
            stopping.set()
            reader.join()
            faulthandler.disable()
            _write_to(before)
            os.close(descriptor)


def _write_to(stream: TextIO) -> None:
    """Make a stream the one of errors and logs."""
    old, sys.stderr = sys.stderr, stream
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is old:
            handler.setStream(stream)


def _tell_on(descriptor: int, stopping: threading.Event) -> None:
    place = 0
    while not stopping.wait(_TELL_S):
        place = _tell(descriptor, place)
    _tell(descriptor, place)
    os.ftruncate(descriptor, 0)


def _tell(descriptor: int, place: int) -> int:
    """Log what was written from a place on; gives where the next look begins."""
    data = os.pread(descriptor, _MOST_BYTES, place)
    end = os.fstat(descriptor).st_size
    if not data:
        return place
    lines = [line[:_MOST_CHARACTERS] for line in data.decode(errors="replace").splitlines() if line]
    extra = {
        "lines": len(lines),
        "said": dict(Counter(lines).most_common(_MOST_LINES)),
        "unread_bytes": end - place - len(data),
    }
    _log.warning("a library wrote to standard error", extra=extra)
    if end <= _MOST_BYTES:
        return end
    os.ftruncate(descriptor, 0)
    return 0


def _tell_last(file: Path) -> None:
    """Log what an earlier process left: one that ended in order leaves nothing."""
    try:
        said = file.read_text(errors="replace").strip()[-_LAST_CHARACTERS:]
    except FileNotFoundError:
        return
    if said:
        _log.error("the server ended last time after this was written", extra={"said": said})
