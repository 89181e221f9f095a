"""A store whose line has the benchmark's model as its live release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.serve.model import CONTRACT, RULE
from inspection import bundle, evidence
from inspection.contract import Contract
from inspection.engines.engine import open_engine
from inspection.evidence import EngineEvidence, Golden
from inspection.inspector import FrameContext, Inspector
from store import artifacts, ledger
from store.keys import LineKey
from store.root import Store

LINE = LineKey("bench", "line")
SCALED_LINE = LineKey("bench", "scaled")
"""Its bundle differs by `reduced_decode` 2, which training would choose for these frames."""
ENGINE = "onnxruntime"  # that of all peers
_GOLDEN = 4


def publish(folder: Path) -> Store:
    """Make ``folder/store`` of its ``graph.onnx`` and ``jpeg``, and promote the bundles."""
    store = Store(str(folder / "store"))
    scaled = CONTRACT.input.model_copy(update={"reduced_decode": 2})
    _promote(store, LINE, folder, CONTRACT)
    _promote(store, SCALED_LINE, folder, CONTRACT.model_copy(update={"input": scaled}))
    return store


def _promote(store: Store, line: LineKey, folder: Path, contract: Contract) -> None:
    files = {
        bundle.CONTRACT: contract.model_dump_json().encode(),
        bundle.RULE: RULE.model_dump_json().encode(),
        bundle.GRAPH: (folder / "graph.onnx").read_bytes(),
    }
    name = bundle.publish(store, line, files, {}, {}).name
    frames = [path.read_bytes() for path in sorted((folder / "jpeg").iterdir())[:_GOLDEN]]
    attached = evidence.to_attachments(golden(folder, frames, contract), [passed()])
    artifacts.attach(store, line, bundle.KIND, name, attached)
    ledger.append(store, line, ledger.Draft(action="promote", bundle=name, who="benchmark"))


def golden(folder: Path, frames: Sequence[bytes], contract: Contract) -> list[Golden]:
    """What the graph in a folder answers for some frames."""
    inspector = Inspector(contract, RULE, open_engine(ENGINE, folder))
    found = []
    for number, data in enumerate(frames):
        answer = inspector.inspect(data, FrameContext())
        score, classes = float(answer.outputs.score[0]), answer.outputs.class_scores[0]
        label = answer.verdict.label
        found.append(Golden(str(number), data, "", "", label, score, tuple(map(float, classes))))
    return found


def passed() -> EngineEvidence:
    """Evidence that nobody gathered: a benchmark needs an engine that may answer."""
    return EngineEvidence(
        engine=ENGINE,
        graph=bundle.GRAPH,
        frames=_GOLDEN,
        flips=0,
        added_escapes=0,
        max_score_difference=0,
        latency_p50_ms=1,
        latency_p99_ms=1,
        passed=True,
    )
