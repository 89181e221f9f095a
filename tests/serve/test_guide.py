"""The guide's example of a server in one's own process does what the guide says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serve.handler import Decision, Failure, Unjudged
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.running import promote

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "serve.md"


def test_the_example_in_one_s_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    promote(Store(".vision/store"))
    for name, value in (("LISTEN", "127.0.0.1:0"), ("MONITOR", ""), ("SHIP", "0")):
        monkeypatch.setenv(f"VISION_SERVE_{name}", value)
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    # As written, but for the time: a test does not depend on how busy the machine is.
    code = code.replace("time_left_s=0.05", "time_left_s=60")
    names: dict[str, object] = {"jpeg": frame(0.9)}
    exec(code, names)
    outcome = names["outcome"]
    assert isinstance(outcome, Decision)
    found = {
        expression: eval(expression, {"outcome": outcome})
        for expression in re.findall(
            r"`(outcome\.(?:inspection|release|sequence)[\w.]*)`", GUIDE.read_text()
        )
    }
    assert found == {
        "outcome.inspection.verdict.label": "REJECT",
        "outcome.release.name": "turin/press-3@1",
        "outcome.sequence": 1,
    }
    assert {"label", "why"} <= set(Unjudged.__dataclass_fields__)
    assert "problem" in Failure.__dataclass_fields__
