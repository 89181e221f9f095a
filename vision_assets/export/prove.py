"""The evidence of a bundle: engines measured, golden frames chosen, gates decided, card written.

All of it is attached by one document, so that a bundle has complete evidence or none that is new.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from inspection import bundle as bundles
from inspection.bundle import Bundle
from inspection.engines.engine import available
from inspection.evidence import EngineEvidence, Gate, to_attachments
from store import artifacts, batches, tables
from store.errors import InvalidInput, Unavailable
from store.hashing import canonical_json
from store.keys import LineKey
from store.root import Store
from vision_assets import config
from vision_assets.dataset import snapshot
from vision_assets.evaluation import evaluate
from vision_assets.evaluation.figures import Evaluation
from vision_assets.evaluation.releases import PROVENANCE, not_worse
from vision_assets.export import card, gates, golden, parity
from vision_assets.export.card import CardFacts
from vision_assets.export.parity import Reference
from vision_assets.progress import Progress, silent

RUNS: Mapping[str, Sequence[str]] = {
    "openvino": (bundles.GRAPH, bundles.GRAPH_U8S8),
    "onnxruntime-cuda": (bundles.GRAPH,),
    "tensorrt": (bundles.GRAPH, bundles.GRAPH_S8S8),
}
"""The graphs that an engine is measured on, where these are not all: others gain it nothing.

ONNX Runtime is measured on S8S8 too, although that is slower than float there: on a machine without
a GPU it is all the proof that can be given of that graph.
"""


def prove(
    store: Store,
    line: LineKey,
    name: str,
    evaluation: str | None = None,
    progress: Progress = silent,
) -> list[Gate]:
    """Measure the engines here that were not measured yet, and attach all evidence of a bundle.

    On a machine with a GPU this adds the engines that the exporting machine could not run.

    Args:
        store: Where the bundle is.
        line: Whose bundle.
        name: The bundle's.
        evaluation: Of the bundle's model; None for that of last time. Another than last time has
            every engine measured again.
        progress: Told of each frame.

    Returns:
        The gates, as attached.

    Raises:
        NotFound: when the line has no such bundle or evaluation.
        InvalidInput: when the evaluation has no test frame, or none is named for a bundle that has
            no evidence yet.
    """
    evaluation = evaluation or _evaluation_before(store, line, name)
    figures = evaluate.read(store, line, evaluation)
    reference = _reference(store, line, evaluation, figures.snapshot)
    with tempfile.TemporaryDirectory(prefix="prove-") as cache:
        bundle = bundles.fetch(store, line, name, Path(cache))
        found = _measured_before(bundle, evaluation)
        for engine, graph in _missing(bundle, found):
            try:
                found.add(*parity.measure(bundle, engine, graph, reference, progress))
            except Unavailable as error:
                progress(f"not measured: {error}", 1, 1)
        facts = _facts(store, line, bundle, evaluation, figures, found)
    files = {
        **to_attachments(
            golden=golden.read(reference, golden.choose(reference.rows, facts.rule)),
            evidence=facts.evidence,
            gates=facts.gates,
        ),
        **{_table_name(*key): _parquet(table) for key, table in found.tables.items()},
        evaluate.FIGURES: canonical_json(figures.model_dump(mode="json")),
        PROVENANCE: canonical_json(facts.provenance),
        card.FILE: card.write(facts).encode(),
    }
    artifacts.attach(store, line, bundles.KIND, name, files)
    return list(facts.gates)


@dataclass
class _Findings:
    """What was measured: evidence, and the rows behind it by engine and graph."""

    evidence: list[EngineEvidence] = field(default_factory=list)
    tables: dict[tuple[str, str], pl.DataFrame] = field(default_factory=dict)

    def add(self, evidence: EngineEvidence, table: pl.DataFrame) -> None:
        self.evidence.append(evidence)
        self.tables[evidence.engine, evidence.graph] = table


def _facts(
    store: Store,
    line: LineKey,
    bundle: Bundle,
    evaluation: str,
    figures: Evaluation,
    found: _Findings,
) -> CardFacts:
    """What is known of the bundle now: its gates under the line's present limits and release."""
    settings = config.load(store, line)
    frozen = artifacts.read(store, line, snapshot.KIND, figures.snapshot)
    return CardFacts(
        line=line,
        bundle=bundle.name,
        settings=settings,
        contract=bundle.contract,
        rule=bundle.rule,
        figures=figures,
        counts=frozen.summary["counts"],
        evidence=found.evidence,
        gates=[
            *gates.decide(found.evidence, found.tables, figures, settings.limits),
            *not_worse(store, line, evaluation),
        ],
        provenance={
            "evaluation": evaluation,
            "model": figures.model,
            "snapshot": figures.snapshot,
            "settings": settings.hash,
        },
    )


def _reference(store: Store, line: LineKey, evaluation: str, name: str) -> Reference:
    """The test frames of an evaluation with torch's answers; bytes are read when asked for."""
    predictions = evaluate.predictions(store, line, evaluation)
    places = snapshot.frames(store, line, name).select(batches.Place._fields)

    def read(frame_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        wanted = pl.DataFrame({"frame_id": frame_ids}, schema={"frame_id": pl.String})
        return batches.read_frames(
            store, wanted.join(places, on="frame_id", how="left", maintain_order="left")
        )

    return Reference(predictions.filter(pl.col("role") == "test"), read)


def _evaluation_before(store: Store, line: LineKey, name: str) -> str:
    attached = artifacts.attachments(store, line, bundles.KIND, name)
    if PROVENANCE not in attached:
        raise InvalidInput(f"bundle {name} has no evidence yet: name the evaluation of its model")
    found: str = json.loads(tables.read_verified(store, attached[PROVENANCE]))["evaluation"]
    return found


def _measured_before(bundle: Bundle, evaluation: str) -> _Findings:
    """What an earlier run measured against the same evaluation."""
    found = _Findings()
    if PROVENANCE not in bundle.attachments:
        return found
    if json.loads((bundle.folder / PROVENANCE).read_bytes())["evaluation"] == evaluation:
        for row in bundle.evidence():
            found.add(row, pl.read_parquet(bundle.folder / _table_name(row.engine, row.graph)))
    return found


def _missing(bundle: Bundle, found: _Findings) -> list[tuple[str, str]]:
    """Engines on graphs that could run here and were not measured."""
    return [
        (engine, graph)
        for engine in available()
        for graph in RUNS.get(engine, bundles.GRAPHS)
        if (engine, graph) not in found.tables and _could_run(bundle, engine, graph)
    ]


def _could_run(bundle: Bundle, engine: str, graph: str) -> bool:
    """Whether the bundle has what the engine loads: the graph, and for TensorRT a plan of it."""
    has_plan = any(name.startswith(f"plans/{graph}/") for name in bundle.attachments)
    return graph in bundle.graphs and (engine != "tensorrt" or has_plan)


def _table_name(engine: str, graph: str) -> str:
    return f"parity-{engine}-{graph}.parquet"


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()
