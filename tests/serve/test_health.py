"""Readiness with its reasons, and that gRPC and HTTP tell the same."""

from __future__ import annotations

import pytest

from serve.health import LineReadiness, Liveness, Readiness, services

FINE = LineReadiness("turin/press-3", "turin/press-3@1", "", "")


@pytest.mark.parametrize(
    ("line", "is_ready", "is_newest", "word"),
    [
        (FINE, True, True, ""),
        (LineReadiness("a/b", "", "", ""), False, False, "names none yet"),
        (LineReadiness("a/b", "", "", "bundle is corrupt"), False, False, "bundle is corrupt"),
        (LineReadiness("a/b", "a/b@1", "disk is full", ""), False, False, "disk is full"),
        (LineReadiness("a/b", "a/b@1", "", "bundle is corrupt"), True, False, ""),
    ],
)
def test_line_says_why_it_is_not_ready(
    line: LineReadiness, is_ready: bool, is_newest: bool, word: str
) -> None:
    assert (line.is_ready, line.is_newest) == (is_ready, is_newest)
    reasons = line.reasons()
    assert bool(reasons) is not is_ready
    assert word in " ".join(reasons)


def test_one_line_that_is_not_ready_is_told_for_the_whole() -> None:
    bad = LineReadiness("turin/press-4", "", "", "")
    readiness = Readiness((FINE, bad), is_draining=False)
    assert not readiness.is_ready
    assert len(readiness.reasons()) == 1
    found = services(readiness, "frames", "newest")
    assert found == {
        "": True,
        "frames": False,
        "newest": False,
        "turin/press-3": True,
        "turin/press-4": False,
    }


def test_draining_server_is_not_ready_and_says_so() -> None:
    readiness = Readiness((FINE,), is_draining=True)
    assert not readiness.is_ready
    document = readiness.to_document()
    assert document["ready"] is False
    assert "draining" in str(document["reasons"])


def test_stuck_worker_is_not_live() -> None:
    assert Liveness(59.9, 60).is_live
    dead = Liveness(60.1, 60)
    assert not dead.is_live
    assert "60 s" in str(dead.to_document()["reasons"])
    assert Liveness(0, 60).to_document() == {"live": True, "reasons": []}
