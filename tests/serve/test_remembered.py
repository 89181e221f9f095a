"""The engine that answers for a bundle is the same after a restart; or the one that is pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspection.choose import Chosen
from serve.remembered import FILE, Remembered
from serve.server import Server
from serve.settings import load
from store import ledger
from store.errors import InvalidInput
from store.root import Store
from tests.data.bundle.generate import write_bundle
from tests.serve.running import LINE, serving, station, wait_until_live
from tests.serve.test_watcher import enter, wait_for_fault

CHOSEN = Chosen("openvino", "graph.onnx", "openvino 1")
BOTH = ("onnxruntime", "openvino")


def engine_of(server: Server) -> str:
    live = station(server).watcher.live()
    assert live is not None
    return live.inspector.engine.name


def test_what_was_chosen_is_there_after_a_restart(tmp_path: Path) -> None:
    assert Remembered(tmp_path).of("a") is None
    Remembered(tmp_path).keep("a", CHOSEN)
    Remembered(tmp_path).keep("b", CHOSEN._replace(build="2"))
    assert Remembered(tmp_path).of("a") == CHOSEN
    assert Remembered(tmp_path).of("b") == CHOSEN._replace(build="2")


@pytest.mark.parametrize("content", ["null", "5", "[]", '{"a": 5}', '{"a": ["x"]}', "{"])
def test_a_damaged_memory_costs_the_memory_only(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert Remembered(tmp_path).of("a") is None
    Remembered(tmp_path).keep("a", CHOSEN)
    assert Remembered(tmp_path).of("a") == CHOSEN


@pytest.mark.parametrize("remembered", BOTH)
def test_a_restart_and_a_swap_keep_the_engine(
    tmp_path: Path, store: Store, remembered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspection.choose._STAYS_WITHIN", 1e6)  # however they are measured
    bundle = write_bundle(store, LINE, engines=BOTH)
    enter(store, bundle.name)
    with serving(tmp_path, engines=remembered) as (server, _):
        assert engine_of(server) == remembered
    for _ in range(2):
        with serving(tmp_path) as (server, _):
            assert engine_of(server) == remembered


def test_an_engine_can_be_pinned_and_the_bundle_is_not_to_blame(
    tmp_path: Path, store: Store
) -> None:
    enter(store, write_bundle(store, LINE, engines=BOTH).name)
    with serving(tmp_path, engines="openvino") as (server, _):
        enter(store, write_bundle(store, LINE, seed=1, engines=BOTH).name)
        wait_until_live(server, 2)
        assert engine_of(server) == "openvino"
        enter(store, write_bundle(store, LINE, seed=2, engines=("onnxruntime",)).name)
        wait_for_fault(server, "not among those asked for (openvino)")
        assert engine_of(server) == "openvino"
    assert len(ledger.entries(store, LINE)) == 3  # nothing was given up


def test_an_engine_that_nobody_has_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'tensorflow' is no engine: there are onnxruntime"):
        load({"store": "/tmp/store", "lines": "a/b", "engines": "openvino,tensorflow"})
