"""Whether `vision-serve` installs on another machine: ``python deploy/edge/check_wheels.py``.

Asks the package index, through pip and without installing anything, for a wheel of every package
that an extra needs, at the versions of `constraints-3.11.txt`, for the platform of the machine, and
writes `wheels-aarch64.txt` beside this file; ends with pip's message when one is missing. By hand,
with a network: a test fails when the table is older than the dependencies.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
PYTHON = "3.11"
OLDEST_GLIBC = 17
GLIBC = {"serve": 28, "otel": 28, "postgres": 28, "mqtt": 28, "openvino": 35}
"""The newest glibc 2.x that each extra may ask for."""


def requirements(extra: str) -> list[str]:
    """What the project and one of its extras need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras.get(extra, ())]


def wheels(extra: str, machine: str) -> list[tuple[str, str, str]]:
    """Name, version and wheel of every package, the pulled in ones included.

    Raises:
        CalledProcessError: when pip finds no wheel for one; it says for which.
    """
    tags = [f"manylinux_2_{minor}" for minor in range(GLIBC[extra], OLDEST_GLIBC - 1, -1)]
    platforms = [w for tag in (*tags, "manylinux2014") for w in ("--platform", f"{tag}_{machine}")]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--only-binary=:all:", "--target", folder]
        command += ["--python-version", PYTHON, "--implementation", "cp", *platforms]
        command += ["--constraint", str(ROOT / "constraints-3.11.txt"), "--report", str(report)]
        subprocess.run([*command, *requirements(extra)], check=True)
        found = json.loads(report.read_text())["install"]
    return sorted(
        (
            one["metadata"]["name"].lower(),
            one["metadata"]["version"],
            one["download_info"]["url"].rpartition("/")[2],
        )
        for one in found
    )


def table(machine: str) -> str:
    """Extra, package, version and wheel, a line each; under every extra all that it needs."""
    rows = [
        f"{extra} {name} {version} {wheel}"
        for extra in GLIBC
        for name, version, wheel in wheels(extra, machine)
    ]
    return "\n".join([*rows, ""])


if __name__ == "__main__":
    asked = sys.argv[1] if len(sys.argv) > 1 else "aarch64"
    (FOLDER / f"wheels-{asked}.txt").write_text(table(asked))
