"""The compiled clients' load made by threads of this process: closed loop and fixed rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

Call = Callable[[bytes, int], None]


def closed_loop(
    call: Call, frames: Sequence[bytes], callers: int, seconds: float
) -> dict[str, object]:
    """Each caller asks again as soon as it has its answer; the clients' line as a dictionary."""

    def loop(caller: int, begin: float, latencies: list[float]) -> int:
        position = caller
        while (started := time.perf_counter()) < begin + seconds:
            call(frames[position % len(frames)], caller)
            latencies.append(time.perf_counter() - started)
            position += 1
        return 0

    return _run(loop, callers)


def fixed_rate(
    call: Call, frames: Sequence[bytes], callers: int, seconds: float, rate: float
) -> dict[str, object]:
    """Each caller asks `rate` times a second; latency counts from the time of the schedule."""

    def loop(caller: int, begin: float, latencies: list[float]) -> int:
        slot, offset = 0, caller / callers
        while (due := begin + (slot + offset) / rate) < begin + seconds:
            now = time.perf_counter()
            if now >= begin + seconds:
                break
            time.sleep(max(0.0, due - now))
            call(frames[(caller + slot) % len(frames)], caller)
            latencies.append(time.perf_counter() - due)
            slot += 1
        return sum((n + offset) / rate < seconds for n in range(slot, int(rate * seconds) + 2))

    return _run(loop, callers)


def _run(loop: Callable[[int, float, list[float]], int], callers: int) -> dict[str, object]:
    latencies: list[list[float]] = [[] for _ in range(callers)]
    unsent, faults = [0] * callers, []
    begin = time.perf_counter() + 0.02

    def thread(caller: int) -> None:
        time.sleep(max(0.0, begin - time.perf_counter()))
        try:
            unsent[caller] = loop(caller, begin, latencies[caller])
        except Exception as error:  # noqa: BLE001 - raised again by the main thread
            faults.append(error)

    threads = [threading.Thread(target=thread, args=(caller,)) for caller in range(callers)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    elapsed = time.perf_counter() - begin
    if faults:
        raise faults[0]
    rows = [_row(mine) for mine in latencies]
    total = _row([latency for mine in latencies for latency in mine])
    by_client = [row | {"unsent": left} for row, left in zip(rows, unsent, strict=True)]
    answers = total["answers"]
    per_s = {"per_s": answers / elapsed, "unsent": sum(unsent)}
    return {**total, **per_s, "by_client": by_client}


def _row(latencies: Sequence[float]) -> dict[str, float]:
    found = np.sort(np.asarray(latencies or [0.0])) * 1000
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    row = {
        name: float(found[min(int(share * len(found)), len(found) - 1)])
        for name, share in shares.items()
    }
    return {"answers": len(latencies), "errors": 0, **row}
