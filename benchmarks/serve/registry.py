"""The peers: how each is installed, started and asked. Nobody is left out because it is fast.

Looked for and not to be had as a package here: OpenVINO Model Server (neither a wheel nor a Debian
package; its binaries come as a container), Triton's ONNX backend (the wheel that carries Triton has
its Python backend only), Seldon's and NVIDIA's containers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.serve.compiled import CACHE, native_server
from benchmarks.serve.requests import FORM, OCTETS, Body, form, open_inference, plain

SCRIPTS = Path(__file__).parent / "peers"
INSPECT = "/inspection.v1.Inspection/Inspect"
INFER = "/inference.GRPCInferenceService/ModelInfer"

_WORK = ("onnxruntime==1.31.1", "opencv-python-headless==5.0.0.93", "numpy==2.4.6")


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own for one or more peers.

    Attributes:
        packages: For pip.
        python: The interpreter it is made with.
    """

    packages: tuple[str, ...]
    python: str = "python3.11"


ENVIRONMENTS = {
    "grpc": Environment((*_WORK, "grpcio==1.81.2", "protobuf==6.33.6", "uvloop==0.23.0")),
    "fastapi": Environment(
        (*_WORK, "fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
    ),
    "litserve": Environment((*_WORK, "litserve==0.2.19", "python-multipart")),
    # With a newer uvloop its workers die: "There is no current event loop".
    "mlserver": Environment((*_WORK, "mlserver==1.7.1", "uvloop<0.22")),
    "kserve": Environment((*_WORK, "kserve==0.21.0")),
    "bentoml": Environment((*_WORK, "bentoml==1.4.39")),
    "ray": Environment((*_WORK, "ray[serve]==2.60.0")),
    # Its stub loads the system's libpython3.11, so that the environment must be of the same Python;
    # with numpy 2 it hands over the wrong bytes.
    "pytriton": Environment(
        (_WORK[0], "opencv-python-headless==4.11.0.86", "numpy==1.26.4", "nvidia-pytriton==0.5.7"),
        python="/usr/bin/python3.11",
    ),
    "torchserve": Environment(
        (*_WORK, "torchserve==0.12.0", "torch-model-archiver==0.12.0", "torch==2.13.0", "pyyaml")
    ),
}


@dataclass(frozen=True)
class Peer:
    """A server that is measured beside ours.

    Attributes:
        name: In the table.
        environment: One of `ENVIRONMENTS`; empty for the compiled one.
        script: In ``peers/``; called with port, graph and `arguments`.
        method: gRPC method, or the path for HTTP.
        body: Of a request.
        content_type: For HTTP; empty for gRPC.
        is_paused: Whether it may be frozen while others have their turn.
    """

    name: str
    environment: str
    script: str
    method: str
    body: Body
    arguments: tuple[str, ...] = ()
    content_type: str = ""
    is_paused: bool = True

    @property
    def is_frame(self) -> bool:
        """Whether it takes our own message."""
        return self.method == INSPECT

    def command(self, port: int, graph: Path, cache: Path = CACHE) -> list[str]:
        """What starts it."""
        given = [str(port), str(graph), *self.arguments]
        if not self.environment:
            return [str(native_server(cache)), *given]
        python = cache / self.environment / "bin" / "python"
        return [str(python), str(SCRIPTS / self.script), *given]

    def is_installed(self, cache: Path = CACHE) -> bool:
        """Whether its environment is whole."""
        return not self.environment or (cache / self.environment / "ready").exists()


PEERS = (
    Peer("C++ gRPC, ONNX Runtime", "", "native.cc", INSPECT, plain),
    Peer("grpcio, synchronous", "grpc", "with_grpc.py", INSPECT, plain, ("sync",)),
    Peer("grpc.aio + executor", "grpc", "with_grpc.py", INSPECT, plain, ("aio",)),
    Peer("FastAPI, 1 worker", "fastapi", "with_fastapi.py", "/inspect", plain, ("1",), OCTETS),
    Peer("FastAPI, 2 workers", "fastapi", "with_fastapi.py", "/inspect", plain, ("2",), OCTETS),
    Peer("KServe", "kserve", "with_kserve.py", INFER, open_inference("UINT8")),
    Peer(
        "MLServer, in line", "mlserver", "with_mlserver.py", INFER, open_inference("BYTES"), ("0",)
    ),
    Peer(
        "MLServer, 2 workers",
        "mlserver",
        "with_mlserver.py",
        INFER,
        open_inference("BYTES"),
        ("2",),
    ),
    Peer("LitServe", "litserve", "with_litserve.py", "/predict", form("content"), (), FORM),
    Peer("BentoML", "bentoml", "with_bentoml.py", "/inspect", form("frame"), (), FORM),
    Peer("Triton, Python backend", "pytriton", "with_triton.py", INFER, open_inference("UINT8")),
    Peer("PyTriton", "pytriton", "with_pytriton.py", INFER, open_inference("UINT8")),
    Peer(
        "TorchServe",
        "torchserve",
        "with_torchserve.py",
        "/predictions/inspection",
        plain,
        (),
        OCTETS,
    ),
    Peer("Ray Serve", "ray", "with_ray.py", "/inspect", plain, (), OCTETS, is_paused=False),
)
