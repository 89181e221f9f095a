from __future__ import annotations

from pathlib import Path

from serve.protocol import generate

GENERATED = ("inspection_v1_pb2.py", "inspection_v1_pb2.pyi", "inspection_v1_pb2_grpc.py")


def test_committed_code_is_what_the_protocol_file_makes(tmp_path: Path) -> None:
    assert generate.generate(tmp_path) == 0
    committed = Path(generate.__file__).parent
    for name in GENERATED:
        made = tmp_path / "serve" / "protocol" / name
        assert made.read_text() == (committed / name).read_text(), f"{name}: make it again"


def test_handwritten_types_name_every_method() -> None:
    from serve.protocol import inspection_v1_pb2 as pb

    types = (Path(generate.__file__).parent / "inspection_v1_pb2_grpc.pyi").read_text()
    for method in pb.DESCRIPTOR.services_by_name["Inspection"].methods:
        assert f"    {method.name}: grpc." in types
        assert f"    def {method.name}(" in types
