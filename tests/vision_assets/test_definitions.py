"""The code location loads as the webserver loads it, and stays light."""

from __future__ import annotations

import json
import subprocess
import sys

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import AssetCheckNode

from vision_assets.definitions import defs
from vision_assets.partitions import batches, lines


def test_the_webserver_can_load_it() -> None:
    """Resolves every job and asset; names that clash are found only here."""
    dg.Definitions.validate_loadable(defs)


def test_every_asset_says_what_it_is() -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.group_name != "default", spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key


def test_few_groups_hold_the_assets() -> None:
    groups = {spec.group_name for spec in defs.resolve_all_asset_specs()}
    assert groups == {"data", "model", "release"}


def test_checks_are_told_apart_by_partition_and_say_what_they_mean() -> None:
    graph = defs.resolve_asset_graph()
    assert len(graph.asset_check_keys) >= 7
    for key in graph.asset_check_keys:
        node = graph.get(key)
        assert isinstance(node, AssetCheckNode)
        is_of_batch = key.asset_key.to_user_string() in ("frames", "labels")
        assert node.partitions_def == (batches if is_of_batch else lines), key
        assert node.description, key


def test_loading_it_loads_no_heavy_library() -> None:
    code = "import json, sys, vision_assets.definitions; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "lightning", "transformers", "pandas", "sklearn", "scipy.stats", "matplotlib"}
    assert not heavy & set(json.loads(done.stdout))
