from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inspection.bundle import GRAPH, GRAPH_S8S8, GRAPH_U8S8
from inspection.engines.engine import open_engine
from store.errors import InvalidInput
from vision_assets.export.quantise import body, quantise


def _zero_points(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    """Zero points of all tensors that are quantised, by the name of the initializer."""
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    return {
        node.input[2]: constants[node.input[2]]
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) == 3
    }


def _weight_types(model: onnx.ModelProto) -> set[int]:
    constants = {each.name: each.data_type for each in model.graph.initializer}
    return {
        constants[node.input[0]]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }


def test_u8s8_has_unsigned_activations_and_weights_per_channel(int8: dict[str, bytes]) -> None:
    model = onnx.load_model_from_string(int8[GRAPH_U8S8])
    kinds = {value.dtype for value in _zero_points(model).values()}
    assert np.dtype(np.uint8) in kinds
    assert TensorProto.INT8 in _weight_types(model)
    scales = {each.name: each for each in model.graph.initializer if "scale" in each.name}
    per_channel = [name for name, each in scales.items() if list(each.dims) == [8]]
    assert len(per_channel) >= 3


def test_s8s8_is_symmetric_without_integer_bias(int8: dict[str, bytes]) -> None:
    model = onnx.load_model_from_string(int8[GRAPH_S8S8])
    zero_points = _zero_points(model)
    assert zero_points
    assert all(value.dtype == np.int8 and not value.any() for value in zero_points.values())
    assert _weight_types(model) == {TensorProto.INT8}


@pytest.mark.parametrize("name", [GRAPH_U8S8, GRAPH_S8S8])
def test_preprocessing_and_heads_stay_float(int8: dict[str, bytes], name: str) -> None:
    model = onnx.load_model_from_string(int8[name])
    makers = {output: node for node in model.graph.node for output in node.output}
    head = next(node for node in model.graph.node if "head" in " ".join(node.input))
    assert head.input[1] == "head.weight"
    assert all(output.name not in _quantised(model) for output in model.graph.output)
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    assert makers[first.input[0]].op_type == "Transpose"


def _quantised(model: onnx.ModelProto) -> set[str]:
    made = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    return {output for node in made for output in node.output}


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_u8s8_ranks_frames_as_the_float_graph_does(
    graphs: dict[str, bytes],
    int8: dict[str, bytes],
    calibration: list[NDArray[np.uint8]],
    tmp_path: Path,
    engine: str,
) -> None:
    (tmp_path / GRAPH).write_bytes(graphs["right"])
    (tmp_path / GRAPH_U8S8).write_bytes(int8[GRAPH_U8S8])
    pixels = np.concatenate(calibration)
    exact = open_engine("onnxruntime", tmp_path, GRAPH).run(pixels).score
    rough = open_engine(engine, tmp_path, GRAPH_U8S8).run(pixels).score
    assert np.corrcoef(exact, rough)[0, 1] > 0.99
    assert not np.array_equal(exact, rough)


def test_equal_frames_give_equal_bytes_and_are_read_once(
    graphs: dict[str, bytes],
    int8: dict[str, bytes],
    calibration: list[NDArray[np.uint8]],
    tmp_path: Path,
) -> None:
    taken = 0

    def pixels() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        for part in calibration:
            taken += 1
            yield part

    (tmp_path / GRAPH).write_bytes(graphs["right"])
    assert quantise(tmp_path / GRAPH, pixels(), tmp_path) == int8
    assert taken == len(calibration)


def test_other_frames_give_other_ranges(
    graphs: dict[str, bytes],
    int8: dict[str, bytes],
    calibration: list[NDArray[np.uint8]],
    tmp_path: Path,
) -> None:
    (tmp_path / GRAPH).write_bytes(graphs["right"])
    other = quantise(tmp_path / GRAPH, [calibration[0] // 2], tmp_path)
    assert other.keys() == int8.keys()
    assert all(other[name] != int8[name] for name in other)


def test_int8_graphs_say_nothing_of_the_machine(int8: dict[str, bytes]) -> None:
    for data in int8.values():
        model = onnx.load_model_from_string(data)
        assert os.getcwd().encode() not in data
        assert not model.metadata_props
        assert model.ir_version == 10
        assert [each.version for each in model.opset_import if not each.domain] == [20]


def test_no_calibration_frame_is_refused(graphs: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / GRAPH).write_bytes(graphs["right"])
    with pytest.raises(InvalidInput, match="no calibration frames"):
        quantise(tmp_path / GRAPH, [], tmp_path)


def test_graph_with_a_single_product_is_refused(
    calibration: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    path = tmp_path / GRAPH
    onnx.save(_chain("Conv"), path)
    with pytest.raises(InvalidInput, match="no layer between"):
        quantise(path, calibration, tmp_path)


def test_body_lies_between_first_and_last_product() -> None:
    model = _chain("Cast", "Conv", "Relu", "Conv", "Relu", "Conv", "Sigmoid")
    assert body(model) == ["Conv-1", "Relu-2", "Conv-3", "Relu-4"]
    assert body(_chain("Cast", "Relu")) == []


def _chain(*operators: str) -> onnx.ModelProto:
    """A model of one path; only its operators and names matter."""
    nodes = [_node(operator, index) for index, operator in enumerate(operators)]
    shape: list[str | int | None] = ["N", 3, 8, 8]
    kind = TensorProto.UINT8 if operators[0] == "Cast" else TensorProto.FLOAT
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "weight")
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("t0", kind, shape)],
        [helper.make_tensor_value_info(f"t{len(operators)}", TensorProto.FLOAT, shape)],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _node(operator: str, index: int) -> onnx.NodeProto:
    inputs, outputs, name = [f"t{index}"], [f"t{index + 1}"], f"{operator}-{index}"
    if operator == "Cast":
        return helper.make_node(operator, inputs, outputs, name, to=TensorProto.FLOAT)
    return helper.make_node(
        operator, [*inputs, "weight"] if operator == "Conv" else inputs, outputs, name
    )
