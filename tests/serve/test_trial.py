"""A bundle is tried in a process of its own: what it says, and what its end means."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from inspection import bundle
from inspection.evidence import Golden, to_attachments
from serve import trial
from serve.trial import UnfitBundle, try_bundle
from store import artifacts
from store.errors import Unavailable
from store.root import Store
from tests.data.bundle.generate import contract, golden, graph, write_bundle
from tests.serve.running import ENGINES, LINE


def going_on() -> bool:
    return False


def fetched(store: Store, tmp_path: Path, name: str) -> Path:
    return bundle.fetch(store, LINE, name, tmp_path / "cache").folder


def test_a_good_bundle_has_an_engine(store: Store, tmp_path: Path) -> None:
    name = write_bundle(store, LINE, engines=ENGINES).name
    tried = try_bundle(fetched(store, tmp_path, name), going_on)
    assert (tried.engine, tried.graph) == ("onnxruntime", "graph.onnx")
    assert tried.latency_ms > 0


def test_wrong_golden_frames_are_the_bundle_s_fault(store: Store, tmp_path: Path) -> None:
    name = write_bundle(store, LINE, engines=ENGINES).name
    wrong: list[Golden] = golden(graph(bias=-40.0), contract())
    artifacts.attach(store, LINE, bundle.KIND, name, to_attachments(wrong))
    with pytest.raises(UnfitBundle, match="golden frame"):
        try_bundle(fetched(store, tmp_path, name), going_on)


def test_an_engine_that_is_not_here_is_not(store: Store, tmp_path: Path) -> None:
    name = write_bundle(store, LINE, engines=("nothing",)).name
    with pytest.raises(Unavailable, match="not installed here") as raised:
        try_bundle(fetched(store, tmp_path, name), going_on)
    assert not isinstance(raised.value, UnfitBundle)


def test_a_process_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="(?s)ended with status 1: .*holds no bundle") as raised:
        try_bundle(tmp_path, going_on)
    assert not isinstance(raised.value, UnfitBundle)


@pytest.mark.parametrize(
    ("number", "is_unfit"),
    [(signal.SIGSEGV, True), (signal.SIGABRT, True), (signal.SIGKILL, False)],
)
def test_a_crash_is_the_bundle_s_fault_and_a_kill_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals, is_unfit: bool
) -> None:
    """A real process with a real end; what crashes a runtime cannot be had on purpose."""
    command = f"import os, signal; os.kill(os.getpid(), {int(number)})"
    monkeypatch.setattr(trial, "_COMMAND", command)
    with pytest.raises(Unavailable, match=f"ended with {number.name}") as raised:
        try_bundle(tmp_path, going_on)
    assert isinstance(raised.value, UnfitBundle) is is_unfit


def test_a_server_that_stops_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(trial, "_COMMAND", "import time; time.sleep(600)")
    stopping = threading.Event()
    threading.Timer(0.3, stopping.set).start()
    with pytest.raises(Unavailable, match="SIGKILL"):
        try_bundle(tmp_path, stopping.is_set)
