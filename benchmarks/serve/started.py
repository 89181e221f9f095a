"""`vision-serve run` as users start it, for benchmarks that measure it alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serve.released import LINE
from store.root import Store


@contextmanager
def server(folder: Path, store: Store, *, is_fast: bool = False) -> Iterator[str]:
    """A server with its spool and cache in `folder`; gives its address, or its fast front's."""
    command = [str(Path(sys.executable).with_name("vision-serve")), "run"]
    command += ["--store", store.url, "--line", str(LINE), "--listen", "127.0.0.1:0"]
    command += ["--fast-listen", "127.0.0.1:0"] if is_fast else []
    command += ["--spool", str(folder / "spool"), "--cache", str(folder / "cache")]
    with open(folder / "log", "wb") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert child.stdout is not None
        ready = child.stdout.readline()
        print(ready.strip())
        yield ready.split()[-1] if is_fast else ready.split()[3].rstrip(":")
    finally:
        child.terminate()
        child.wait()
