"""The unit is one that systemd takes, and fits the server's settings."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serve.settings import Settings, load

FOLDER = Path(__file__).parent.parent.parent / "deploy" / "systemd"
UNIT = FOLDER / "vision-serve@.service"


def seconds(name: str) -> int:
    found = re.search(rf"^{name}=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert found is not None, name
    return int(found[1])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """It ends with 0 for a wrong key, but says so."""
    here = str(Path(sys.executable).with_name("vision-serve"))
    text = UNIT.read_text().replace("/opt/vision-serve/bin/vision-serve", here)
    for name, unit in (("good", text), ("bad", text.replace("RestartSec", "RestartSecs"))):
        file = tmp_path / f"{name}@.service"
        file.write_text(unit)
        done = subprocess.run(
            ["systemd-analyze", "verify", file], capture_output=True, text=True, check=False
        )
        assert bool(done.stderr) is (name == "bad"), done.stderr


def test_systemd_waits_longer_than_the_server_drains() -> None:
    drain_s = Settings.model_fields["drain_s"].default
    assert seconds("TimeoutStopSec") >= drain_s + 10


def test_watchdog_comes_after_the_server_has_seen_that_it_is_stuck() -> None:
    """The watchdog is told twice in each of its intervals while no worker is stuck."""
    assert seconds("WatchdogSec") > 0
    assert "Type=notify" in UNIT.read_text()


def test_settings_of_the_example_are_taken(tmp_path: Path) -> None:
    text = (FOLDER / "vision-serve.env.example").read_text()
    named = re.findall(r"^#?VISION_SERVE_(\w+)=(.*)$", text, re.MULTILINE)
    assert {name.lower() for name, _ in named} <= set(Settings.model_fields)
    active = re.findall(r"^VISION_SERVE_(\w+)=(.*)$", text, re.MULTILINE)
    settings = load({name.lower(): value for name, value in active})
    assert settings.lines == ("turin/press-3",)
