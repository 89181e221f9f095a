"""The signals that end a server: waited for, never handled."""

from __future__ import annotations

import signal

STOPS = (signal.SIGTERM, signal.SIGINT)


def block() -> None:
    """Let them wait for `signal.sigwait`, in this thread and all that it begins.

    With a handler, SIGTERM ended in a segmentation fault in the kernel's delivery of the signal
    whenever this thread had run an INT8 graph (it seems that the saved registers of AMX do not fit
    the signal's stack).
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
