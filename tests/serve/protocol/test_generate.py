from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from serve.protocol import generate, inspection_v1_pb2, open_inference_pb2

GENERATED = [
    f"{protocol}{ending}"
    for protocol in ("inspection_v1", "open_inference")
    for ending in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")
]


def test_committed_code_is_what_the_protocol_file_makes(tmp_path: Path) -> None:
    assert generate.generate(tmp_path) == 0
    committed = Path(generate.__file__).parent
    for name in GENERATED:
        made = tmp_path / "serve" / "protocol" / name
        assert made.read_text() == (committed / name).read_text(), f"{name}: make it again"


@pytest.mark.parametrize(
    ("definition", "service"),
    [(inspection_v1_pb2, "Inspection"), (open_inference_pb2, "GRPCInferenceService")],
)
def test_handwritten_types_name_every_method(definition: ModuleType, service: str) -> None:
    name = definition.__name__.rpartition(".")[2]
    types = (Path(generate.__file__).parent / f"{name}_grpc.pyi").read_text()
    for method in definition.DESCRIPTOR.services_by_name[service].methods:
        assert f"    {method.name}: grpc." in types
        assert f"    def {method.name}(" in types
