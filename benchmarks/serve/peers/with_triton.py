# mypy: ignore-errors
# ruff: noqa: ANN201 - its libraries are not installed here
"""Triton itself, from PyTriton's wheel, with its Python backend: two instances, gRPC.

The wheel carries no ONNX backend, so that the model is a Python file, as Triton's guide has it for
work that is more than a graph (here the decoding).
"""

import os
import sys
import tempfile
from pathlib import Path

CONFIG = """
name: "inspection"
backend: "python"
max_batch_size: 0
input [{ name: "frame", data_type: TYPE_UINT8, dims: [-1] }]
output [{ name: "scores", data_type: TYPE_FP32, dims: [-1] }]
instance_group [{ kind: KIND_CPU, count: COUNT }]
"""

MODEL = """
import sys
sys.path[:0] = PATHS
import numpy as np
import triton_python_backend_utils as triton
import work

class TritonPythonModel:
    def initialize(self, arguments):
        self.session = work.open_session(GRAPH)

    def execute(self, requests):
        answers = []
        for request in requests:
            data = triton.get_input_tensor_by_name(request, "frame").as_numpy().tobytes()
            score, classes = work.judge(self.session, data)
            scores = triton.Tensor("scores", np.asarray([score, *classes], np.float32))
            answers.append(triton.InferenceResponse([scores]))
        return answers
"""


def main():
    port, graph = int(sys.argv[1]), sys.argv[2]
    here = str(Path(__file__).parent)
    packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    folder = Path(tempfile.mkdtemp())
    model = folder / "models" / "inspection"
    (model / "1").mkdir(parents=True)
    cores = len(os.sched_getaffinity(0))
    (model / "config.pbtxt").write_text(CONFIG.replace("COUNT", str(cores)))
    (model / "1" / "model.py").write_text(
        MODEL.replace("GRAPH", repr(graph)).replace("PATHS", repr([here, str(packages)]))
    )

    triton = packages / "pytriton" / "tritonserver"
    backend = folder / "backends" / "python"
    backend.mkdir(parents=True)
    for path in (triton / "backends" / "python").iterdir():
        (backend / path.name).symlink_to(path)
    stub = triton / "python_backend_stubs" / "3.11" / "triton_python_backend_stub"
    (backend / stub.name).symlink_to(stub)
    os.environ["LD_LIBRARY_PATH"] = str(packages / "nvidia_pytriton.libs")
    command = [str(triton / "bin" / "tritonserver"), f"--model-repository={folder}/models"]
    command += [f"--backend-directory={folder}/backends", "--allow-metrics=false"]
    command += [f"--grpc-port={port}", f"--http-port={port + 1}", "--log-info=false"]
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
