"""Every task goes the whole way: frames to a bundle whose engines say what torch says."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspection import bundle as bundles
from inspection.engines.engine import open_engine
from inspection.inspector import FrameContext, Inspector
from store.root import Store
from tests.data.plates import generate
from tests.data.plates.generate import LINE, SETTINGS
from vision_assets.config import LimitSettings, LineConfig
from vision_assets.evaluation import evaluate
from vision_assets.export.export import export
from vision_assets.learning import registry
from vision_assets.training.train import train

LIMITS = LimitSettings(
    max_escape_rate=1, max_overkill_rate=1, max_review_share=1, false_reject_rate=0.2
)


def settings(name: str) -> LineConfig:
    return SETTINGS.model_copy(update={"task": name, "limits": LIMITS})


@pytest.mark.parametrize("name", registry.names())
def test_from_frames_to_a_bundle(name: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    snapshot = generate.frozen_line(store, 90, settings(name))
    model = train(store, LINE, snapshot.name, settings(name))
    evaluation = evaluate.evaluate(store, LINE, model.name)
    figures = evaluate.read(store, LINE, evaluation.name)
    assert figures.localisation is not None
    assert figures.localisation.regions > 0
    assert sum(size.parts for size in figures.by_size) == figures.counts["test"].defective_parts
    assert {each.name for each in figures.per_class} == set(SETTINGS.classes)
    made = export(store, LINE, evaluation.name)
    bundle = bundles.fetch(store, LINE, made.name, tmp_path / "cache")
    assert bundle.contract.task == name
    assert next(gate for gate in bundle.gates() if gate.name == "parity").passed
    frame = bundle.golden()[0]
    inspector = Inspector(bundle.contract, bundle.rule, open_engine("onnxruntime", bundle.folder))
    answer = inspector.inspect(frame.data, FrameContext())
    assert (answer.outputs.segments is not None) == (bundle.contract.segments is not None)
    assert bool(figures.overlaps) == (bundle.contract.segments is not None)
