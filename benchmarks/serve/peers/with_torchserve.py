# mypy: ignore-errors
# ruff: noqa: ANN201 - its libraries are not installed here
"""TorchServe: two workers, a handler of its own kind; HTTP. Needs Java and, at import, torch."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HANDLER = """
import sys
sys.path.append(HERE)
import work

class Inspection:
    def initialize(self, context):
        self.session = work.open_session(GRAPH)

    def handle(self, data, context):
        return [work.answer(self.session, bytes(row["body"])) for row in data]
"""


def main():
    port, graph = int(sys.argv[1]), sys.argv[2]
    folder = Path(tempfile.mkdtemp())
    here = repr(str(Path(__file__).parent))
    handler = folder / "handler.py"
    handler.write_text(HANDLER.replace("HERE", here).replace("GRAPH", repr(graph)))
    (folder / "store").mkdir()
    tools = Path(sys.executable).parent
    archive = [tools / "torch-model-archiver", "--model-name", "inspection", "--version", "1"]
    archive += ["--handler", handler, "--export-path", folder / "store"]
    subprocess.run(list(map(str, archive)), check=True)
    cores = len(os.sched_getaffinity(0))
    model = {"1.0": {"marName": "inspection.mar", "minWorkers": cores, "maxWorkers": cores}}
    addresses = ("inference", "management", "metrics")
    lines = [f"{name}_address=http://127.0.0.1:{port + n}" for n, name in enumerate(addresses)]
    lines += [f"grpc_{name}_port={port + 3 + n}" for n, name in enumerate(addresses[:2])]
    lines += ["load_models=inspection.mar", f"default_workers_per_model={cores}"]
    lines += ["disable_token_authorization=true", "job_queue_size=1000"]
    lines += ["models=" + json.dumps({"inspection": model})]
    (folder / "config.properties").write_text("\n".join(lines))
    (folder / "log4j2.xml").write_text(
        '<Configuration><Loggers><Root level="error"/></Loggers></Configuration>'
    )
    os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
    os.environ["LOG_LOCATION"] = os.environ["METRICS_LOCATION"] = str(folder)
    os.chdir(folder)
    command = [tools / "torchserve", "--start", "--foreground", "--model-store", folder / "store"]
    command += ["--ts-config", folder / "config.properties", "--log-config", folder / "log4j2.xml"]
    os.execv(str(command[0]), list(map(str, command)))


if __name__ == "__main__":
    main()
