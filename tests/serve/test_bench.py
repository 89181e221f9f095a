from __future__ import annotations

import threading

from serve.bench import ERROR, JUDGED, Causes, closed_loop


def test_counts_answers_and_errors_of_every_client() -> None:
    seen: set[tuple[int, bytes]] = set()

    def call(data: bytes) -> str:
        seen.add((threading.get_ident(), data))
        return ERROR if data == b"bad" else JUDGED

    report = closed_loop(call, [b"good", b"bad"], clients=3, seconds=0.1)
    assert len({thread for thread, _ in seen}) == 3
    assert {data for _, data in seen} == {b"good", b"bad"}
    assert abs(report.requests - report.errors) <= 3
    assert 0 < report.p50_ms <= report.p99_ms
    assert report.per_s > 0


def test_loop_without_an_answer_has_no_latency() -> None:
    report = closed_loop(lambda _: ERROR, [b"bad"], clients=1, seconds=0.01)
    assert (report.requests, report.p50_ms, report.p99_ms) == (0, 0.0, 0.0)
    assert report.errors > 0


def test_frames_that_nobody_looked_at_are_no_throughput() -> None:
    report = closed_loop(lambda why: why.decode(), [b"late", b"queue_full"], 1, 0.02)
    assert (report.requests, report.per_s, report.errors) == (0, 0.0, 0)
    assert abs(report.late - report.queue_full) <= 1
    assert report.late > 0


def test_causes_that_differ_in_numbers_only_are_one() -> None:
    causes = Causes()
    for error_id in ("0123456789abcdef" * 2, "fedcba9876543210" * 2):
        for wait_s in ("0.012", "3"):
            causes.add(f"error {error_id}: try again in {wait_s} s")
    causes.add("the file has no bytes")
    first, second = causes.most_common()
    assert first == (f"error {'0123456789abcdef' * 2}: try again in 0.012 s", 4)
    assert second == ("the file has no bytes", 1)
