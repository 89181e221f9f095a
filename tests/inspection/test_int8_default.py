"""An INT8 graph answers by default where it is proven and faster, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspection import bundle, choose, evidence
from inspection.engines.engine import Engine
from store import artifacts
from store.keys import LineKey
from store.root import Store
from tests.data.bundle import generate

LINE = LineKey("turin", "press-3")


def chosen(store: Store, cache: Path, *, passed: bool) -> str:
    """The graph that answers for a bundle with an INT8 graph whose gate has passed or not."""
    model, accepts = generate.graph(), generate.contract()
    files = {
        bundle.CONTRACT: accepts.model_dump_json().encode(),
        bundle.RULE: generate.RULE.model_dump_json().encode(),
        bundle.GRAPH: model,
        bundle.GRAPH_U8S8: model,
    }
    name = bundle.publish(store, LINE, files, {}, {"auroc": 1.0}).name
    proofs = [
        generate.proof("onnxruntime"),
        generate.proof("onnxruntime", bundle.GRAPH_U8S8, passed=passed),
    ]
    attached = evidence.to_attachments(generate.golden(model, accepts), proofs, generate.GATES)
    artifacts.attach(store, LINE, bundle.KIND, name, {**attached, "card.md": b"# Tiny\n"})
    found = bundle.fetch(store, LINE, name, cache)
    return choose.choose(found, engines=("onnxruntime",)).engine.graph


@pytest.mark.parametrize(
    ("passed", "int8_ms", "answers"),
    [
        (True, 1.0, bundle.GRAPH_U8S8),
        (True, 3.0, bundle.GRAPH),
        (False, 1.0, bundle.GRAPH),
    ],
)
def test_int8_answers_where_it_passed_and_is_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: bool, int8_ms: float, answers: str
) -> None:
    def measured(engine: Engine, _: object) -> float:
        return int8_ms if engine.graph == bundle.GRAPH_U8S8 else 2.0

    monkeypatch.setattr(choose, "latency_ms", measured)
    store = Store(str(tmp_path / "store"))
    assert chosen(store, tmp_path / "cache", passed=passed) == answers
