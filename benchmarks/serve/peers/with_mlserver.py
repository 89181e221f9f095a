# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, D101, D102 - its libraries are not installed here
"""MLServer over the Open Inference Protocol (gRPC).

``python with_mlserver.py PORT GRAPH WORKERS``: processes of its parallel inference; 0 does the work
in threads of the server's own process.
"""

import asyncio
import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import work
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput

LOGGING = """[loggers]
keys=root
[handlers]
keys=stderr
[formatters]
keys=
[logger_root]
level=WARNING
handlers=stderr
[handler_stderr]
class=StreamHandler
args=(sys.stderr,)
"""


class Inspection(MLModel):
    async def load(self):
        self.session = work.open_session(os.environ["GRAPH"])
        self.pool = ThreadPoolExecutor(work.CORES if os.environ["WORKERS"] == "0" else 1)
        return True

    def work(self, payload):
        data = payload.inputs[0].data.root[0]
        score, classes = work.judge(self.session, data)
        output = ResponseOutput(
            name="scores", shape=[1, 1 + len(classes)], datatype="FP32", data=[score, *classes]
        )
        return InferenceResponse(model_name=self.name, outputs=[output])

    async def predict(self, payload):
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.work, payload)


if __name__ == "__main__":
    port, os.environ["GRAPH"], os.environ["WORKERS"] = sys.argv[1:4]
    folder = Path(tempfile.mkdtemp())
    settings = {
        "host": "127.0.0.1",
        "http_port": int(port) + 1,
        "grpc_port": int(port),
        "metrics_port": int(port) + 2,
        "parallel_workers": int(sys.argv[3]),
        "debug": False,
        "logging_settings": str(folder / "logging.ini"),
    }
    model = {"name": "inspection", "implementation": "with_mlserver.Inspection"}
    (folder / "logging.ini").write_text(LOGGING)  # without a line for each request
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = here
    program = str(Path(sys.executable).with_name("mlserver"))
    os.execv(program, [program, "start", str(folder)])
