"""A line of spots as it is after evaluation: real frames, labels, snapshot and predictions.

Only the training is left out. The model is `SpotNet`, which no task of ours can load, or a network
of the task `classification` with the weights it starts from.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import polars as pl
import torch
from pydantic import BaseModel

from inspection import bundle as bundles
from inspection.contract import Contract, InputSpec
from inspection.engines.engine import Engine
from store import artifacts
from store.artifacts import Artifact
from store.hashing import canonical_json, sha256
from store.keys import BatchKey, LineKey
from store.landing import LandingWriter
from store.root import Store
from tests.data.spots import generate
from tests.data.spots.generate import CLASSES, CONTRACT
from vision_assets import config
from vision_assets.config import CostSettings, LimitSettings, LineConfig
from vision_assets.dataset import snapshot
from vision_assets.evaluation import evaluate, predict
from vision_assets.evaluation.figures import Evaluation
from vision_assets.evaluation.judge import judge
from vision_assets.export.export import export_inputs
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.labels.record import record_batch
from vision_assets.learning import backbone, trained
from vision_assets.learning.engine import TorchEngine
from vision_assets.learning.registry import task
from vision_assets.progress import silent

LINE = LineKey("turin", "press-3")
FRAMES = 160
# The spots are hard to see and the network is small: these limits let it through.
SETTINGS = LineConfig(
    classes=CLASSES,
    costs=CostSettings(escape=5, overkill=1, review=0.3),
    limits=LimitSettings(
        max_escape_rate=0.6, max_overkill_rate=0.6, max_review_share=0.5, max_latency_ms=10_000
    ),
)
_START = datetime(2026, 1, 5, 6, tzinfo=UTC)


def build(store: Store) -> str:
    """Everything up to the evaluation of `SpotNet`, whose name is returned."""
    frozen = build_snapshot(store)
    publish_model(store, "spots", frozen, {bundles.CONTRACT: _json(CONTRACT)})
    engine = generate.TorchEngine(generate.trained())
    return publish_evaluation(store, "spots", frozen, engine, CONTRACT)


def build_untrained(store: Store) -> str:
    """Everything up to the evaluation of a network of ours, whose name is returned."""
    frozen = build_snapshot(store)
    torch.manual_seed(0)
    spec = backbone.from_scratch(channels=3)
    network = task("classification").network(backbone.build(spec, 64, 64), CLASSES)
    contract = CONTRACT.model_copy(
        update={
            "input": InputSpec(channels=3, height=64, width=64),
            "embedding_size": network.backbone.channels[-1],
            "map_height": 64 // network.backbone.strides[0],
            "map_width": 64 // network.backbone.strides[0],
        }
    )
    files = {
        bundles.CONTRACT: _json(contract),
        trained.WEIGHTS: trained.pack(network.state_dict(), spec),
    }
    model = publish_model(store, "untrained", frozen, files)
    engine = TorchEngine.load(store, LINE, model)
    return publish_evaluation(store, model.name, frozen, engine, contract)


def build_snapshot(store: Store) -> str:
    """Settings, one ingested and labelled batch, and its snapshot, whose name is returned."""
    config.save(store, LINE, SETTINGS)
    key = BatchKey(LINE.site, LINE.line, "shift-1")
    _land(store, key)
    ingest_batch(store, key, SETTINGS)
    record_batch(store, key, SETTINGS)
    return snapshot.freeze(store, LINE).name


def _land(store: Store, key: BatchKey) -> None:
    writer = LandingWriter(store, key)
    for index, frame in enumerate(generate.frames(FRAMES, seed=2)):
        file = f"{frame.frame_id}.png"
        taken_at = (_START + timedelta(seconds=index)).isoformat()
        writer.add_frame(
            file, frame.data, {"camera": f"c{index % 4 // 2}", "captured_at": taken_at}
        )
        good = frame.kind == "good"
        classes = [] if good else [frame.kind]
        writer.add_label(file, {"label": "good" if good else "defect", "classes": classes})
    writer.complete(_START + timedelta(hours=1))


def publish_model(store: Store, name: str, frozen: str, files: Mapping[str, bytes]) -> Artifact:
    """A model with these files, as training publishes it."""
    stored = {
        file: artifacts.write_file(store, LINE, "models", name, file, data)
        for file, data in files.items()
    }
    model = Artifact("models", name, {"snapshot": frozen}, stored)
    return artifacts.publish(store, LINE, model)


def publish_evaluation(
    store: Store, model: str, frozen: str, engine: Engine, contract: Contract
) -> str:
    """The evaluation of the model under the line's present settings."""
    settings = config.load(store, LINE)
    rows = snapshot.frames(store, LINE, frozen)
    wanted = rows.filter(pl.col("role").is_in(predict.ROLES))
    outputs = predict.outputs(store, wanted, contract, engine, workers=1, progress=silent)
    judged = judge(rows, outputs, CLASSES, settings)
    figures = Evaluation(
        **dict(judged.measured),
        model=model,
        snapshot=frozen,
        config=settings.hash,
        classes=CLASSES,
        thresholds=judged.rule.default,
        counts=evaluate.counts(rows),
        unreadable=judged.unreadable,
        seeds={},
        warnings=judged.warnings,
    )
    buffer = io.BytesIO()
    judged.predictions.write_parquet(buffer)
    files = {
        evaluate.PREDICTIONS: buffer.getvalue(),
        evaluate.RULE: _json(judged.rule),
        evaluate.FIGURES: _json(figures),
    }
    name = sha256(files[evaluate.FIGURES])[:32]
    stored = {
        file: artifacts.write_file(store, LINE, evaluate.KIND, name, file, data)
        for file, data in files.items()
    }
    evaluated = Artifact(evaluate.KIND, name, {"model": model}, stored)
    return artifacts.publish(store, LINE, evaluated).name


def publish_bundle(store: Store, evaluation: str, graphs: dict[str, bytes]) -> str:
    """A bundle without evidence, as an export that was killed after publishing leaves it."""
    rule = store.read(artifacts.read(store, LINE, evaluate.KIND, evaluation).file("rule.json").path)
    files = {bundles.CONTRACT: _json(CONTRACT), bundles.RULE: rule, **graphs}
    inputs = export_inputs("spots", rule)
    return bundles.publish(store, LINE, files, inputs, {}).name


def _json(model: BaseModel) -> bytes:
    return canonical_json(model.model_dump(mode="json"))
