"""Makes the peers' environments, outside the repository."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serve.registry import ENVIRONMENTS


def install(cache: Path, names: Sequence[str] = ()) -> list[str]:
    """Make the environments that are missing; one that fails does not stop the others.

    Args:
        cache: Folder of the environments.
        names: Which; none means all.

    Returns:
        A sentence for each that could not be made.
    """
    faults = []
    for name in names or ENVIRONMENTS:
        folder, wanted = cache / name, ENVIRONMENTS[name]
        if (folder / "ready").exists():
            print(f"{name}: there already")
            continue
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{name}: {', '.join(wanted.packages)}", flush=True)
        done = subprocess.run(
            f"{wanted.python} -m venv {folder} && {folder}/bin/python -m pip install -q "
            f"--disable-pip-version-check {' '.join(map(repr, wanted.packages))}",
            shell=True,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            faults.append(f"{name} could not be installed: {done.stderr[-500:]}")
        else:
            (folder / "ready").touch()
    return faults


def versions(cache: Path, name: str) -> dict[str, str]:
    """What is installed of the packages that `ENVIRONMENTS` names."""
    command = [str(cache / name / "bin" / "python"), "-m", "pip", "list", "--format=freeze"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = dict(line.split("==", 1) for line in listed.splitlines() if "==" in line)
    asked = [
        package.split("[")[0].split("=")[0].split("<")[0] for package in ENVIRONMENTS[name].packages
    ]
    return {package: found.get(package, "") for package in asked}
