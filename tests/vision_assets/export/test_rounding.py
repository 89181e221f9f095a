from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vision_assets.export.quantise import body
from vision_assets.export.rounding import InputMeans, added_by_rounding, corrected


def test_worked_by_hand() -> None:
    # Scale 127 / 127 = 1: 0.4 becomes 0 and 2.5 becomes 2 (half to even), so per unit of input
    # -0.4 and -0.5 are added; means 10 and 2 give -4 - 1.
    weight = np.array([127, 0.4, 2.5], np.float32).reshape(1, 3, 1, 1)
    assert added_by_rounding(weight, np.array([7.0, 10, 2])) == pytest.approx([-5], abs=1e-5)


def test_weights_on_the_grid_and_dead_channels_add_nothing() -> None:
    weight = np.stack([np.arange(-127.0, 128), np.zeros(255)]).astype(np.float32)[..., None, None]
    np.testing.assert_array_equal(added_by_rounding(weight, np.ones(255)), [0, 0])


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_equals_the_convolution_of_a_constant_frame(
    groups: int, inputs: int, outputs: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(groups * outputs, inputs, 3, 3)).astype(np.float32)
    mean = rng.normal(size=groups * inputs)
    scale = np.abs(weight).max((1, 2, 3), keepdims=True) / 127
    change = np.round(weight / scale) * scale - weight
    expected = [
        sum(
            change[output, channel].sum() * mean[output // outputs * inputs + channel]
            for channel in range(inputs)
        )
        for output in range(groups * outputs)
    ]
    np.testing.assert_allclose(added_by_rounding(weight, mean), expected, atol=1e-4)


def test_means_are_those_of_the_inputs_whatever_the_portions(
    graphs: dict[str, bytes], calibration: list[NDArray[np.uint8]]
) -> None:
    model = onnx.load_model_from_string(graphs["right"])
    nodes = body(model)
    whole, parts = InputMeans(model, nodes), InputMeans(model, nodes)
    whole.add(np.concatenate(calibration))
    for part in calibration:
        parts.add(part)
    assert len(whole.means()) == 3
    for name, values in whole.means().items():
        np.testing.assert_allclose(parts.means()[name], values, rtol=1e-5)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    pixels = np.concatenate(calibration).mean((0, 1, 2)) / 255
    expected = (pixels - [0.45, 0.5, 0.45]) / [0.2, 0.25, 0.2]
    np.testing.assert_allclose(whole.means()[first.input[0]], expected, atol=1e-5)


def test_the_mean_that_rounding_adds_is_taken_off(
    graphs: dict[str, bytes], calibration: list[NDArray[np.uint8]]
) -> None:
    model = onnx.load_model_from_string(graphs["right"])
    nodes = body(model)
    means = InputMeans(model, nodes)
    for part in calibration:
        means.add(part)
    mended = corrected(model, nodes, means.means())
    pixels = np.concatenate(calibration)
    exact = _first_layer(model, pixels)
    biased = np.abs(_first_layer(_rounded(model), pixels) - exact).max()
    left = np.abs(_first_layer(_rounded(mended), pixels) - exact).max()
    # What is left comes from the padding, which has no mean of the frame.
    assert left < biased / 4


def test_heads_and_the_given_model_stay_as_they_are(graphs: dict[str, bytes]) -> None:
    model = onnx.load_model_from_string(graphs["right"])
    nodes = body(model)
    means = {node.input[0]: np.ones(8) for node in model.graph.node if node.op_type == "Conv"}
    means[next(n for n in model.graph.node if n.op_type == "Conv").input[0]] = np.ones(3)
    result = corrected(model, nodes, means)
    assert model.SerializeToString() == graphs["right"]
    changed = {
        new.name for old, new in zip(model.graph.node, result.graph.node, strict=True) if old != new
    }
    assert changed == {n.name for n in model.graph.node if n.op_type == "Conv"} & set(nodes)
    assert len(changed) == 3
    onnx.checker.check_model(result)


def _rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the weights that INT8 can hold."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for each in result.graph.initializer:
        if len(each.dims) == 4:
            weight = numpy_helper.to_array(each)
            scale = np.abs(weight).max((1, 2, 3), keepdims=True) / 127
            each.CopyFrom(numpy_helper.from_array(np.round(weight / scale) * scale, each.name))
    return result


def _first_layer(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean over frames and places of each channel that the first convolution gives."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    name = next(node for node in model.graph.node if node.op_type == "Conv").output[0]
    shown.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(shown.SerializeToString(), options)
    found: NDArray[np.float32] = session.run([name], {"pixels": pixels})[0].mean((0, 2, 3))
    return found
