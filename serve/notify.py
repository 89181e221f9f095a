"""Tells systemd how the server is (``sd_notify``): ready, stopping, alive."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)


class Supervisor:
    """The service manager that has started this process, if one has; else nothing is told."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        about = environment.get("WATCHDOG_PID", str(os.getpid()))
        interval = environment.get("WATCHDOG_USEC", "0") if about == str(os.getpid()) else "0"
        self._watchdog_s = int(interval) / 1e6 if interval.isdigit() else 0.0
        self._ended = threading.Event()

    def tell(self, state: str) -> None:
        """Send a state, such as ``READY=1``; lines are separated by newlines."""
        if not self._address:
            return
        # A leading @ stands for the zero byte of the abstract namespace.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.sendto(state.encode(), address)
        except OSError as error:
            _log.warning("systemd cannot be told", extra={"state": state, "error": str(error)})

    def watch(self, is_live: Callable[[], bool]) -> None:
        """Tell the watchdog in the background that this process lives, for as long as it does.

        Twice in each interval; when `is_live` says no, nothing is told, and systemd restarts.
        """
        if self._address and self._watchdog_s:
            threading.Thread(
                target=self._watch, args=(is_live,), name="watchdog", daemon=True
            ).start()

    def end(self) -> None:
        """Tell the watchdog no more."""
        self._ended.set()

    def _watch(self, is_live: Callable[[], bool]) -> None:
        while True:
            if is_live():
                self.tell("WATCHDOG=1")
            else:
                _log.error("a worker is stuck: the watchdog is not told, systemd will restart")
            if self._ended.wait(self._watchdog_s / 2):
                return
