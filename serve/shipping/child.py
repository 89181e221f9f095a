"""The server's side of the shipping process: starts it, starts it again, ends it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress

from serve.shipping.plan import PASSWORDS, Plan

_log = logging.getLogger(__name__)

_PAUSE_S = 1.0
_MOST_PAUSE_S = 60.0


class ShippingProcess:
    """Keeps the process running from `start` to `stop`."""

    def __init__(self, plan: Plan, passwords: Mapping[str, str]) -> None:
        """Follow `plan`, with the passwords of its places by name of the place."""
        self._plan = plan
        given = {PASSWORDS[sink]: value for sink, value in passwords.items()}
        self._environment = {**os.environ, **given}
        self._child: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, name="shipping", daemon=True)

    @property
    def pid(self) -> int | None:
        """Id of the process that runs at the moment."""
        child = self._child
        return child.pid if child and child.poll() is None else None

    def start(self) -> None:
        """Start it; it is started again whenever it ends."""
        self._start_child()
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """Let it ship what is there, and end it; rows that it could not ship wait in the spool."""
        self._stopping.set()
        child = self._child
        if child is None:
            return
        self._close_pipe(child)
        try:
            child.wait(within_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if self._thread.is_alive():
            self._thread.join()

    def _keep_running(self) -> None:
        pause = _PAUSE_S
        while True:
            child = self._child
            assert child is not None
            status = child.wait()
            if self._stopping.is_set():
                return
            self._close_pipe(child)
            _log.error("shipping has ended by itself", extra={"status": status, "again_s": pause})
            if self._stopping.wait(pause):
                return
            pause = min(_MOST_PAUSE_S, 2 * pause)
            self._start_child()

    def _start_child(self) -> None:
        command = [sys.executable, "-m", "serve.shipping"]
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=sys.stderr,  # its logs, as ours, are not what `serve.native_output` is for
            env=self._environment,
            text=True,
        )
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already, which is seen to
            child.stdin.write(self._plan.model_dump_json() + "\n")
            child.stdin.flush()
        self._child = child

    @staticmethod
    def _close_pipe(child: subprocess.Popen[str]) -> None:
        assert child.stdin is not None
        with suppress(BrokenPipeError):
            child.stdin.close()
