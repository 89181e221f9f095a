"""The code location loads as the webserver loads it, and stays light."""

from __future__ import annotations

import json
import subprocess
import sys

import dagster as dg

from vision_assets.definitions import defs


def test_the_webserver_can_load_it() -> None:
    """Resolves every job and asset; names that clash are found only here."""
    dg.Definitions.validate_loadable(defs)


def test_every_asset_says_what_it_is() -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.group_name != "default", spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key


def test_loading_it_loads_no_heavy_library() -> None:
    code = "import json, sys, vision_assets.definitions; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "lightning", "transformers", "pandas", "sklearn", "scipy.stats", "matplotlib"}
    assert not heavy & set(json.loads(done.stdout))
