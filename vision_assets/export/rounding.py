"""What rounding weights to INT8 adds to a layer on average, taken off its bias beforehand.

Rounding changes a convolution's output by (Wq - W) * x. Over many frames that has a mean, the same
for every frame, and it adds up from layer to layer: E[(Wq - W) * x] = (Wq - W) * E[x] (Nagel et al.
2019, https://arxiv.org/abs/1906.04721, section 4.2). With the mean taken off, scores of a
MobileNetV2 move less than half as far (docs/decisions/0007-int8-and-tensorrt.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vision_assets.export.canonical import INPUT_NAME

Floats = NDArray[np.float64]
_LARGEST = 127
_ONLY_ERRORS = 3


class InputMeans:
    """The mean of every channel that goes into the convolutions of a graph, over frames."""

    def __init__(self, model: onnx.ModelProto, nodes: Collection[str]) -> None:
        """Observe the convolutions among `nodes`."""
        self._names = sorted({node.input[0] for node in _convolutions(model, nodes)})
        observed = onnx.ModelProto()
        observed.CopyFrom(model)
        del observed.graph.output[:]
        observed.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self._names
        )
        options = ort.SessionOptions()
        options.log_severity_level = _ONLY_ERRORS
        self._session = ort.InferenceSession(
            observed.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._sums: dict[str, Floats] = {}
        self._frames = 0

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Take note of frames (n, height, width, channels) uint8."""
        for name, values in zip(
            self._names, self._session.run(self._names, {INPUT_NAME: pixels}), strict=True
        ):
            total = values.mean((2, 3), dtype=np.float64).sum(0)
            self._sums[name] = self._sums.get(name, np.zeros_like(total)) + total
        self._frames += len(pixels)

    def means(self) -> dict[str, Floats]:
        """(channels,) float64 by the name of the tensor."""
        return {name: total / self._frames for name, total in self._sums.items()}


def corrected(
    model: onnx.ModelProto, nodes: Collection[str], means: Mapping[str, Floats]
) -> onnx.ModelProto:
    """A copy of the float model whose biases make up for the rounding to come.

    Args:
        model: The float model.
        nodes: Names of the nodes that will be quantised; of these, convolutions are corrected.
        means: As `InputMeans.means` gives them.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = {each.name: each for each in result.graph.initializer}
    for node in _convolutions(result, nodes):
        weight = numpy_helper.to_array(constants[node.input[1]])
        shift = added_by_rounding(weight, means[node.input[0]])
        name = f"{node.name}_bias"
        bias = -shift
        if len(node.input) > 2:
            bias += numpy_helper.to_array(constants[node.input[2]])
        # A tensor of its own: another convolution may use the old one.
        result.graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), name))
        del node.input[2:]
        node.input.append(name)
    return result


def added_by_rounding(weight: NDArray[np.float32], mean: Floats) -> Floats:
    """What rounding adds to each output channel of a convolution on average.

    Args:
        weight: (out, in / groups, height, width) float32.
        mean: (in,) float64, of each input channel.

    Returns:
        (out,) float64. Padding, which adds nothing, is taken for the mean.
    """
    largest = np.abs(weight).max((1, 2, 3), keepdims=True)
    scale = np.where(largest > 0, largest / _LARGEST, 1)
    change = (np.round(weight / scale) * scale - weight).sum((2, 3), dtype=np.float64)
    outputs, per_group = change.shape
    groups = len(mean) // per_group
    grouped = change.reshape(groups, outputs // groups, per_group)
    found: Floats = np.einsum("gop,gp->go", grouped, mean.reshape(groups, per_group))
    return found.reshape(outputs)


def _convolutions(model: onnx.ModelProto, nodes: Collection[str]) -> list[onnx.NodeProto]:
    """Convolutions among `nodes` whose weights are constant."""
    constants = {each.name for each in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and node.name in nodes and node.input[1] in constants
    ]
