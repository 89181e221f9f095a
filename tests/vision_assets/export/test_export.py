from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inspection import bundle as bundles
from inspection.bundle import GRAPH
from store import artifacts
from store.errors import NotFound, Refused
from store.root import Store
from tests.vision_assets.export.spot_line import LINE, build_untrained, publish_bundle
from vision_assets.deployment.promote import promote
from vision_assets.export.export import export

_EXPORT = """
import sys
from store.root import Store
from tests.vision_assets.export.spot_line import LINE
from vision_assets.export.export import export
export(Store(sys.argv[1]), LINE, sys.argv[2])
"""


def test_a_bundle_whose_export_was_killed_before_its_evidence_is_found_and_repaired(
    line_store: Store, evaluation: str, graphs: dict[str, bytes], int8: dict[str, bytes]
) -> None:
    name = publish_bundle(line_store, evaluation, {GRAPH: graphs["right"], **int8})
    with pytest.raises(Refused, match="has no evidence"):
        promote(line_store, LINE, name, who="ada")
    told: list[str] = []
    found = export(line_store, LINE, evaluation, lambda what, done, total: told.append(what))
    assert found.name == name
    assert told[0] == f"bundle {name} was exported before"
    promote(line_store, LINE, name, who="ada")


def test_exported_twice_nothing_changes(
    line_store: Store, evaluation: str, graphs: dict[str, bytes]
) -> None:
    publish_bundle(line_store, evaluation, {GRAPH: graphs["right"]})
    first = export(line_store, LINE, evaluation)
    files = line_store.files("lines")
    told: list[str] = []
    assert export(line_store, LINE, evaluation, lambda what, *_: told.append(what)) == first
    assert told == [f"bundle {first.name} was exported before"]
    assert line_store.files("lines") == files
    assert [each.name for each in artifacts.every(line_store, LINE, bundles.KIND)] == [first.name]


def test_a_trained_network_becomes_a_bundle_with_both_int8_graphs(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    evaluation = build_untrained(store)
    told: list[str] = []
    made = export(store, LINE, evaluation, lambda what, done, total: told.append(what))
    assert set(made.files) == {bundles.CONTRACT, bundles.RULE, *bundles.GRAPHS}
    assert told[0] == "exporting the graph"
    assert "measuring ranges for INT8" in told
    bundle = bundles.fetch(store, LINE, made.name, tmp_path / "cache")
    evidence = {(row.engine, row.graph): row for row in bundle.evidence()}
    assert evidence["onnxruntime", GRAPH].passed
    assert evidence["onnxruntime", GRAPH].max_score_difference < 1e-3
    assert evidence["openvino", GRAPH].passed
    for name in bundles.GRAPHS:
        assert os.getcwd().encode() not in bundle.graph_path(name).read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_anywhere_and_run_again_it_ends_in_the_same_bundle(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    evaluation = build_untrained(store)
    arguments = [sys.executable, "-c", _EXPORT, store.url, evaluation]
    undisturbed = Store(str(shutil.copytree(store.url, tmp_path / "undisturbed")))
    started = time.monotonic()
    expected = export(undisturbed, LINE, evaluation)
    takes_s = time.monotonic() - started
    for kill in range(6):
        child = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": os.getcwd()})
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(takes_s * (kill + 1) / 5)
        child.kill()
        child.wait()
    found = export(store, LINE, evaluation)
    assert (found.name, found.files) == (expected.name, expected.files)
    assert [each.name for each in artifacts.every(store, LINE, bundles.KIND)] == [expected.name]
    attached = [
        set(artifacts.attachments(each, LINE, bundles.KIND, expected.name))
        for each in (store, undisturbed)
    ]
    assert attached[0] == attached[1]


def test_an_unknown_evaluation_is_refused(line_store: Store) -> None:
    with pytest.raises(NotFound, match="has no evaluations/nothing"):
        export(line_store, LINE, "nothing")
