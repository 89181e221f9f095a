"""A folder that belongs to one process at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from store.errors import Conflict, Unavailable


def claim(folder: Path, what: str, advice: str) -> int:
    """Take `folder`, made when needed, for this process; the kernel gives it back when it ends.

    Args:
        folder: The folder.
        what: What has it when somebody else does, such as ``a server for this line``.
        advice: What to do then.

    Returns:
        A file descriptor; closing it gives the folder back.

    Raises:
        Conflict: when another process has it.
        Unavailable: when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise Unavailable(f"{folder}: {error.strerror}; give a writable folder") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        process = f" (process {holder})" if holder.isdigit() else ""
        raise Conflict(
            f"{what} seems to run already{process}: {folder} is in use; {advice}"
        ) from None
    with suppress(OSError):  # only so that the next one can name us
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
