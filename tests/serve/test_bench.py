from __future__ import annotations

import threading

from serve.bench import closed_loop


def test_counts_answers_and_errors_of_every_client() -> None:
    seen: set[tuple[int, bytes]] = set()

    def call(data: bytes) -> bool:
        seen.add((threading.get_ident(), data))
        return data != b"bad"

    report = closed_loop(call, [b"good", b"bad"], clients=3, seconds=0.1)
    assert len({thread for thread, _ in seen}) == 3
    assert {data for _, data in seen} == {b"good", b"bad"}
    assert abs(report.requests - report.errors) <= 3
    assert 0 < report.p50_ms <= report.p99_ms
    assert report.per_s > 0


def test_loop_without_an_answer_has_no_latency() -> None:
    report = closed_loop(lambda _: False, [b"bad"], clients=1, seconds=0.01)
    assert (report.requests, report.p50_ms, report.p99_ms) == (0, 0.0, 0.0)
    assert report.errors > 0
