"""A store whose line has the benchmark's model as its live release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.serve.model import CONTRACT, RULE
from inspection import bundle, evidence
from inspection.engines.engine import open_engine
from inspection.evidence import EngineEvidence, Golden
from inspection.inspector import FrameContext, Inspector
from store import artifacts, ledger
from store.keys import LineKey
from store.root import Store

LINE = LineKey("bench", "line")
ENGINE = "onnxruntime"  # that of all peers
_GOLDEN = 4


def publish(folder: Path) -> Store:
    """Make ``folder/store`` of its ``graph.onnx`` and ``jpeg``, and promote the bundle."""
    store = Store(str(folder / "store"))
    files = {
        bundle.CONTRACT: CONTRACT.model_dump_json().encode(),
        bundle.RULE: RULE.model_dump_json().encode(),
        bundle.GRAPH: (folder / "graph.onnx").read_bytes(),
    }
    name = bundle.publish(store, LINE, files, {}, {}).name
    frames = [path.read_bytes() for path in sorted((folder / "jpeg").iterdir())[:_GOLDEN]]
    attached = evidence.to_attachments(golden(folder, frames), [passed()])
    artifacts.attach(store, LINE, bundle.KIND, name, attached)
    ledger.append(store, LINE, ledger.Draft(action="promote", bundle=name, who="benchmark"))
    return store


def golden(folder: Path, frames: Sequence[bytes]) -> list[Golden]:
    """What the graph in a folder answers for some frames."""
    inspector = Inspector(CONTRACT, RULE, open_engine(ENGINE, folder))
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
