"""An evaluated model -> a bundle with its evidence.

The bundle exists once its graphs, contract and rule are published; a kill before leaves nothing, a
kill after leaves a bundle without gates, which cannot be promoted. Running again finds what there
is and does the rest: graphs are built once, each engine is measured once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from inspection import bundle as bundles
from store import artifacts, tables
from store.artifacts import Artifact
from store.hashing import sha256
from store.keys import LineKey
from store.root import Store
from vision_assets import process
from vision_assets.evaluation import evaluate
from vision_assets.evaluation.figures import Evaluation
from vision_assets.export.prove import prove
from vision_assets.progress import Progress, silent

VERSION = "1"
"""Raised whenever equal models would give other graphs."""

_CHILD = "vision_assets.export.build"
_TOOLS = ("torch", "onnx", "onnxscript", "onnxruntime")


def export(store: Store, line: LineKey, evaluation: str, progress: Progress = silent) -> Artifact:
    """The bundle of an evaluated model, with golden frames, evidence, gates and card attached.

    What exists already is found and kept.

    Raises:
        NotFound: when the line has no such evaluation.
        VisionError: when the graphs cannot be built.
    """
    evaluated = artifacts.read(store, line, evaluate.KIND, evaluation)
    figures = evaluate.read(store, line, evaluation)
    rule = _read(store, evaluated, evaluate.RULE)
    inputs = export_inputs(figures.model, rule)
    bundle = _find(store, line, inputs)
    if bundle is None:
        bundle = _make(store, line, figures, rule, inputs, progress)
    else:
        progress(f"bundle {bundle.name} was exported before", 1, 1)
    prove(store, line, bundle.name, evaluation, progress)
    return bundle


def export_inputs(model: str, rule: bytes) -> dict[str, Any]:
    """What determines a bundle's files.

    Args:
        model: The model's name; it names the snapshot, which gives the calibration frames.
        rule: The evaluation's ``rule.json``.
    """
    tools = {name: metadata.version(name) for name in _TOOLS}
    return {"model": model, "rule": sha256(rule), "version": VERSION, "tools": tools}


def _find(store: Store, line: LineKey, inputs: Mapping[str, Any]) -> Artifact | None:
    known = artifacts.every(store, line, bundles.KIND)
    return next((bundle for bundle in known if bundle.inputs == inputs), None)


def _make(
    store: Store,
    line: LineKey,
    figures: Evaluation,
    rule: bytes,
    inputs: Mapping[str, Any],
    progress: Progress,
) -> Artifact:
    model = artifacts.read(store, line, "models", figures.model)
    files = {bundles.CONTRACT: _read(store, model, bundles.CONTRACT), bundles.RULE: rule}
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        arguments = [store.url, str(line), figures.model, folder]
        for name in process.follow(_CHILD, arguments, progress):
            files[name] = Path(folder, name).read_bytes()
    summary = {"bytes": {name: len(data) for name, data in files.items()}}
    return bundles.publish(store, line, files, inputs, summary)


def _read(store: Store, artifact: Artifact, file: str) -> bytes:
    return tables.read_verified(store, artifact.file(file))
