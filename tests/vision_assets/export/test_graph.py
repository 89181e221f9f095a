from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray

import vision_assets
from inspection.bundle import GRAPH
from inspection.outputs import OUTPUT_NAMES
from store.errors import InvalidInput
from tests.data.spots import generate
from tests.data.spots.generate import CONTRACT
from vision_assets.export.graph import export_graph

_AGAIN = """
import sys
from tests.data.spots import generate
from vision_assets.export.graph import export_graph
open(sys.argv[1], "wb").write(export_graph(generate.trained(), generate.CONTRACT))
"""


def test_graph_takes_uint8_frames_and_is_dynamic_in_n_only(graphs: dict[str, bytes]) -> None:
    model = onnx.load_model_from_string(graphs["right"])
    (taken,) = model.graph.input
    sides = [dim.dim_param or dim.dim_value for dim in taken.type.tensor_type.shape.dim]
    assert taken.name == "pixels"
    assert taken.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert sides == ["N", 32, 32, 3]
    assert [output.name for output in model.graph.output] == list(OUTPUT_NAMES)
    free = {
        dim.dim_param
        for output in model.graph.output
        for dim in output.type.tensor_type.shape.dim
        if dim.dim_param
    }
    assert free == {"N"}


def test_graph_has_the_pinned_versions_and_folded_constants(graphs: dict[str, bytes]) -> None:
    model = onnx.load_model_from_string(graphs["right"])
    assert model.ir_version == 10
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 20)]
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"Constant", "BatchNormalization", "Identity", "Shape"}


@pytest.mark.parametrize("number", [1, 2, 5])
def test_graph_answers_like_the_module(
    graphs: dict[str, bytes], calibration: list[NDArray[np.uint8]], number: int
) -> None:
    pixels = calibration[0][:number]
    session = ort.InferenceSession(graphs["right"], providers=["CPUExecutionProvider"])
    found = session.run(list(OUTPUT_NAMES), {"pixels": pixels})
    with torch.inference_mode():
        expected = generate.trained()(torch.from_numpy(pixels))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=2e-5)


def test_graph_says_nothing_of_the_machine_it_was_made_on(graphs: dict[str, bytes]) -> None:
    root = str(Path(vision_assets.__file__).parents[1]).encode()
    for data in graphs.values():
        for part in (root, b"site-packages", b".py", b"stack_trace", torch.__version__.encode()):
            assert part not in data


def test_two_processes_export_the_same_bytes(graphs: dict[str, bytes], tmp_path: Path) -> None:
    target = tmp_path / GRAPH
    # Another seed of Python's hashes gives sets another order.
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", _AGAIN, str(target)], check=True, env=environment)
    assert target.read_bytes() == graphs["right"]


def test_outputs_that_the_contract_does_not_promise_are_refused() -> None:
    wrong = CONTRACT.model_copy(update={"embedding_size": 9})
    with pytest.raises(InvalidInput, match=r"embedding.*\[8\].*contract says.*\[9\]"):
        export_graph(generate.trained(), wrong)
