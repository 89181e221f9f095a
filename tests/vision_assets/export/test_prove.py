from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest
import torch

from inspection import bundle as bundles
from inspection.bundle import GRAPH, Bundle
from inspection.choose import choose
from inspection.evidence import Gate
from store import artifacts, tables
from store.errors import Corrupt, InvalidInput, NotFound, Refused
from store.root import Store
from tests.data.spots.generate import CONTRACT, SpotNet, TorchEngine, trained
from tests.vision_assets.export.spot_line import (
    LINE,
    SETTINGS,
    publish_bundle,
    publish_evaluation,
)
from vision_assets import config
from vision_assets.config import LimitSettings
from vision_assets.deployment.promote import promote
from vision_assets.evaluation import evaluate
from vision_assets.export.prove import RUNS, prove

_CPU_RUNS = {
    (engine, graph)
    for engine in ("onnxruntime", "openvino")
    for graph in RUNS.get(engine, bundles.GRAPHS)
}


def _fetch(store: Store, name: str, tmp_path: Path) -> Bundle:
    return bundles.fetch(store, LINE, name, tmp_path / "cache")


def _by_name(gates: list[Gate]) -> dict[str, Gate]:
    return {gate.name: gate for gate in gates}


def _attached(store: Store, name: str) -> dict[str, bytes]:
    files = artifacts.attachments(store, LINE, bundles.KIND, name)
    return {file: tables.read_verified(store, stored) for file, stored in files.items()}


@pytest.fixture
def proven(
    line_store: Store, evaluation: str, graphs: dict[str, bytes], int8: dict[str, bytes]
) -> str:
    name = publish_bundle(line_store, evaluation, {GRAPH: graphs["right"], **int8})
    prove(line_store, LINE, name, evaluation)
    return name


def test_a_good_bundle_gets_all_evidence_and_may_be_promoted(
    line_store: Store, evaluation: str, proven: str, tmp_path: Path
) -> None:
    bundle = _fetch(line_store, proven, tmp_path)
    evidence = {(row.engine, row.graph): row for row in bundle.evidence()}
    assert evidence.keys() == _CPU_RUNS
    assert evidence["onnxruntime", GRAPH].passed
    assert evidence["openvino", GRAPH].passed
    gates = _by_name(bundle.gates())
    assert list(gates) == [
        "parity",
        "int8",
        "latency",
        "escape_rate",
        "overkill_rate",
        "review_share",
    ]
    assert all(gate.passed for gate in gates.values())
    entry = promote(line_store, LINE, proven, who="ada")
    assert not entry.forced
    assert choose(bundle).engine.graph in bundle.graphs


def test_every_row_behind_the_evidence_is_attached(line_store: Store, proven: str) -> None:
    attached = _attached(line_store, proven)
    for engine, graph in _CPU_RUNS:
        rows = pl.read_parquet(io.BytesIO(attached[f"parity-{engine}-{graph}.parquet"]))
        assert rows.group_by("size").len().sort("size").rows() == [(1, 40), (8, 40)]


def test_provenance_figures_and_card_are_attached(
    line_store: Store, evaluation: str, proven: str
) -> None:
    attached = _attached(line_store, proven)
    provenance = json.loads(attached["provenance.json"])
    assert provenance["evaluation"] == evaluation
    assert provenance["model"] == "spots"
    figures = evaluate.read(line_store, LINE, evaluation)
    assert attached["evaluation.json"] == tables.read_verified(
        line_store,
        artifacts.read(line_store, LINE, evaluate.KIND, evaluation).file("evaluation.json"),
    )
    card = attached["card.md"].decode()
    assert f"# Bundle {proven} of turin/press-3" in card
    assert f"{figures.escapes.count} of {figures.escapes.of}" in card


@pytest.mark.parametrize("wrong", ["flatter", "swapped"])
def test_a_wrong_graph_is_refused_by_promote_which_lists_the_flips(
    line_store: Store,
    evaluation: str,
    graphs: dict[str, bytes],
    tmp_path: Path,
    wrong: str,
) -> None:
    name = publish_bundle(line_store, evaluation, {GRAPH: graphs[wrong]})
    gates = _by_name(prove(line_store, LINE, name, evaluation))
    assert not gates["parity"].passed
    assert not gates["latency"].passed
    rows = pl.read_parquet(
        io.BytesIO(_attached(line_store, name)[f"parity-onnxruntime-{GRAPH}.parquet"])
    )
    with pytest.raises(Refused, match="parity: onnxruntime on graph.onnx") as refused:
        promote(line_store, LINE, name, who="ada")
    flipped = rows.filter("is_flip")["frame_id"].unique()
    assert len(flipped) > 0
    assert any(frame_id in str(refused.value) for frame_id in flipped)
    assert not any(row.passed for row in _fetch(line_store, name, tmp_path).evidence())


def test_what_was_measured_is_not_measured_again(
    line_store: Store, evaluation: str, proven: str
) -> None:
    before = artifacts.attachments(line_store, LINE, bundles.KIND, proven)
    told: list[str] = []
    prove(line_store, LINE, proven, evaluation, lambda what, done, total: told.append(what))
    assert told == []
    assert artifacts.attachments(line_store, LINE, bundles.KIND, proven) == before


def test_an_engine_that_lacks_evidence_is_added(
    line_store: Store, evaluation: str, proven: str
) -> None:
    before = _attached(line_store, proven)
    rows = [row for row in json.loads(before["evidence.json"]) if row["engine"] != "openvino"]
    artifacts.attach(
        line_store, LINE, bundles.KIND, proven, {"evidence.json": json.dumps(rows).encode()}
    )
    told: list[str] = []
    prove(line_store, LINE, proven, progress=lambda what, done, total: told.append(what))
    assert {what.split(" on ")[0] for what in told} == {"openvino"}
    found = json.loads(_attached(line_store, proven)["evidence.json"])
    assert {(row["engine"], row["graph"]) for row in found} == _CPU_RUNS


def test_another_evaluation_has_every_engine_measured_again(
    line_store: Store, evaluation: str, proven: str
) -> None:
    strict = LimitSettings(**{**SETTINGS.limits.model_dump(), "max_escape_rate": 0.001})
    config.save(line_store, LINE, SETTINGS.model_copy(update={"limits": strict}))
    snapshot = evaluate.read(line_store, LINE, evaluation).snapshot
    engine = TorchEngine(trained())
    later = publish_evaluation(line_store, "spots", snapshot, engine, CONTRACT)
    assert later != evaluation
    told: list[str] = []
    gates = prove(line_store, LINE, proven, later, lambda what, done, total: told.append(what))
    assert any("onnxruntime" in what for what in told)
    assert not _by_name(gates)["escape_rate"].passed
    assert json.loads(_attached(line_store, proven)["provenance.json"])["evaluation"] == later


def test_a_later_bundle_is_compared_with_the_live_release(
    line_store: Store,
    evaluation: str,
    proven: str,
    graphs: dict[str, bytes],
) -> None:
    promote(line_store, LINE, proven, who="ada")
    second = publish_bundle(line_store, evaluation, {GRAPH: graphs["right"]})
    gates = _by_name(prove(line_store, LINE, second, evaluation))
    assert gates["not_worse_than_live"].passed
    assert gates["not_worse_than_best"].passed


def test_promote_holds_the_bundle_to_the_limits_of_now(line_store: Store, proven: str) -> None:
    limits = SETTINGS.limits.model_copy(update={"max_latency_ms": 1e-6})
    config.save(line_store, LINE, SETTINGS.model_copy(update={"limits": limits}))
    with pytest.raises(Refused, match=r"1 of 6 gates:\n  - latency: .* the limit is 0\.0 ms"):
        promote(line_store, LINE, proven, who="ada")
    entry = promote(line_store, LINE, proven, who="ada", why="trial", force=True)
    assert entry.forced
    assert entry.evidence["gates"]["latency"] is False


def test_promote_compares_with_the_release_that_is_live_now(
    line_store: Store, evaluation: str, proven: str, graphs: dict[str, bytes]
) -> None:
    snapshot = evaluate.read(line_store, LINE, evaluation).snapshot
    torch.manual_seed(0)
    blind = TorchEngine(SpotNet())
    worse = publish_evaluation(line_store, "spots", snapshot, blind, CONTRACT)
    second = publish_bundle(line_store, worse, {GRAPH: graphs["right"]})
    first_gates = _by_name(prove(line_store, LINE, second, worse))
    assert "not_worse_than_live" not in first_gates, "nothing was live when it was exported"
    promote(line_store, LINE, proven, who="ada")
    with pytest.raises(Refused, match="not_worse_than_live"):
        promote(line_store, LINE, second, who="ada")


@pytest.mark.parametrize("file", [GRAPH, "gates.json"])
def test_no_reason_promotes_a_bundle_whose_bytes_were_changed(
    line_store: Store, proven: str, file: str
) -> None:
    files = dict(artifacts.read(line_store, LINE, bundles.KIND, proven).files)
    files |= artifacts.attachments(line_store, LINE, bundles.KIND, proven)
    path = line_store.local_path(files[file].path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=file.partition(".")[0]):
        promote(line_store, LINE, proven, who="ada", why="urgent", force=True)


def test_an_unknown_bundle_is_refused(line_store: Store, evaluation: str) -> None:
    with pytest.raises(NotFound, match="has no bundles/nothing"):
        prove(line_store, LINE, "nothing", evaluation)


def test_without_evidence_the_evaluation_must_be_named(
    line_store: Store, evaluation: str, graphs: dict[str, bytes]
) -> None:
    name = publish_bundle(line_store, evaluation, {GRAPH: graphs["right"]})
    with pytest.raises(InvalidInput, match="name the evaluation"):
        prove(line_store, LINE, name)
