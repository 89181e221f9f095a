"""Entry of the shipping process: a plan as one line of JSON on standard input, whose end ends it.

Standard input is a pipe from the server: however the server ends, the pipe does too, and this
process ships what is there and ends.
"""

from __future__ import annotations

import signal
import sys
import threading

from serve import logs, native_output
from serve.shipping.plan import Plan
from serve.shipping.program import run


def main() -> None:
    """Read the plan, and follow it until standard input ends."""
    # A terminal and a service manager signal to all processes; the server tells when to stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    plan = Plan.model_validate_json(sys.stdin.readline())
    logs.set_up(plan.log_level)
    stopping = threading.Event()
    threading.Thread(target=_wait_for_end, args=(stopping,), daemon=True).start()
    said = plan.lines[0].spool.with_name(f"shipping-{native_output.FILE}")
    with native_output.told(said):
        run(plan, stopping)


def _wait_for_end(stopping: threading.Event) -> None:
    sys.stdin.read()
    stopping.set()


if __name__ == "__main__":
    main()
