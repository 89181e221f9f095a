"""The table of arm64 wheels is that of the dependencies as they are now."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ("serve", "otel", "postgres", "mqtt", "openvino")


def plain(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def rows() -> list[tuple[str, str, str, str]]:
    """Extra, package, version and wheel."""
    text = (ROOT / "deploy" / "edge" / "wheels-aarch64.txt").read_text()
    found = []
    for line in text.splitlines():
        extra, name, version, wheel = line.split()
        found.append((extra, plain(name), version, wheel))
    return found


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_dependency_has_a_wheel(extra: str) -> None:
    known = {name for row_extra, name, _, _ in rows() if row_extra == extra}
    wanted = (*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra])
    names = {plain(re.split(r"[<>=!~;\[ ]", requirement)[0]) for requirement in wanted}
    assert names <= known, "run `python deploy/edge/check_wheels.py`"


def test_wheels_are_those_of_the_pinned_versions_and_of_the_machine() -> None:
    text = (ROOT / "constraints-3.11.txt").read_text()
    pins = dict(line.split("==") for line in text.split())
    pinned = {plain(name): version for name, version in pins.items()}
    for _, name, version, wheel in rows():
        assert pinned[name] == version, f"{name}: run `python deploy/edge/check_wheels.py`"
        assert wheel.endswith(("_aarch64.whl", "-none-any.whl")), wheel
