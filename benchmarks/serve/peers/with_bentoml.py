# mypy: ignore-errors
# ruff: noqa: D101, D102 - its libraries are not installed here
"""BentoML: two workers; the file comes as a form's upload, the form of its guide for images."""

import os
import sys
from pathlib import Path

import bentoml
import work


@bentoml.service(
    workers=work.CORES, traffic={"timeout": 60}, logging={"access": {"enabled": False}}
)
class Inspection:
    def __init__(self) -> None:
        self.session = work.open_session(os.environ["GRAPH"])

    @bentoml.api
    def inspect(self, frame: Path) -> dict:
        score, classes = work.judge(self.session, frame.read_bytes())
        return {"verdict": "PASS" if score < 0.3 else "REJECT", "score": score, "classes": classes}


if __name__ == "__main__":
    port, os.environ["GRAPH"] = sys.argv[1:3]
    here = str(Path(__file__).parent)
    program = str(Path(sys.executable).with_name("bentoml"))
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    os.execv(
        program,
        [program, "serve", "with_bentoml:Inspection", "--port", port, "--working-dir", here],
    )
