"""What a host on the line imports brings in no training library and no orchestrator.

import-linter does not look inside third-party packages; a fresh process does.
"""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import inspection
import serve
import store

FORBIDDEN = {"torch", "dagster", "pandas", "lightning", "polars", "transformers", "pyarrow"}
ROOT = Path(__file__).parents[1]
IMPORT = "import importlib, json, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"


def modules(*packages: str) -> list[str]:
    """All modules of some packages."""
    paths = [str(ROOT / package) for package in packages]
    found = [
        module.name
        for package, path in zip(packages, paths, strict=True)
        for module in pkgutil.walk_packages([path], f"{package}.")
    ]
    return sorted([*packages, *found])


def imported_by(names: list[str]) -> set[str]:
    """Top-level packages that a fresh process holds after importing `names`."""
    code = IMPORT + "print(json.dumps(sorted({m.partition('.')[0] for m in list(sys.modules)})))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("package", [inspection.__name__, serve.__name__, store.__name__])
def test_a_package_of_the_line_stays_light(package: str) -> None:
    names = modules(package)
    assert len(names) > 5
    assert imported_by(names) & FORBIDDEN == set()


def test_the_check_sees_what_is_imported() -> None:
    assert "json" in imported_by(["store.root"])
    assert "polars" in imported_by(["polars"]) & FORBIDDEN
