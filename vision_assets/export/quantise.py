"""INT8 graphs from the float graph, calibrated on frames: one for CPU runtimes, one for TensorRT.

Both are QDQ with weights per output channel, and biases that make up for the rounding of weights
(`rounding`). The range of each tensor is the least and greatest value over the calibration frames,
taken once for both graphs. Only what lies between the first and the last matrix product is
quantised: preprocessing and the heads, whose outputs are compared with thresholds, stay float
(docs/decisions/0007-int8-and-tensorrt.md has the figures).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    create_calibrator,
    quantize_static,
)
from onnxruntime.quantization.calibrate import save_tensors_data
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from inspection.bundle import GRAPH_S8S8, GRAPH_U8S8
from store.errors import InvalidInput
from vision_assets.export.canonical import INPUT_NAME, canonical_bytes
from vision_assets.export.rounding import InputMeans, corrected

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class _Variant:
    file: str
    activations: QuantType
    operators: Sequence[str]
    options: Mapping[str, Any]


_VARIANTS = (
    # CPU kernels multiply unsigned activations with signed weights, and stay in INT8 from layer to
    # layer where every layer between is quantised too.
    _Variant(
        GRAPH_U8S8,
        QuantType.QUInt8,
        (*_PRODUCTS, "Add", "AveragePool", "Clip", "Concat", "MaxPool", "Relu"),
        {},
    ),
    # TensorRT takes symmetric INT8 only, no INT32 bias, and fuses best when only the inputs of
    # products are quantised.
    _Variant(
        GRAPH_S8S8,
        QuantType.QInt8,
        _PRODUCTS,
        {
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": list(_PRODUCTS),
        },
    ),
)


def quantise(graph: Path, pixels: Iterable[NDArray[np.uint8]], folder: Path) -> dict[str, bytes]:
    """Both INT8 graphs by file name; equal graphs and frames give equal bytes.

    Args:
        graph: The float graph.
        pixels: Calibration frames, (n, height, width, channels) uint8 each; read one at a time.
        folder: Where temporary files may be.

    Raises:
        InvalidInput: when there is no calibration frame, or nothing in the graph to quantise.
    """
    model = onnx.load(graph)
    nodes = body(model)
    if not nodes:
        raise InvalidInput("the graph has no layer between its first and last product to quantise")
    means, ranges = InputMeans(model, nodes), folder / "ranges.json"
    _measure_ranges(graph, _Reader(pixels, means), ranges)
    prepared = folder / "prepared.onnx"
    onnx.save(_marked_as_prepared(corrected(model, nodes, means.means())), prepared)
    return {variant.file: _quantised(prepared, ranges, nodes, variant) for variant in _VARIANTS}


def body(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that come after the first and before the last matrix product of a path."""
    nodes = model.graph.node
    makers = {output: node.name for node in nodes for output in node.output}
    after: set[str] = set()
    for node in nodes:
        sources = {makers.get(name, "") for name in node.input}
        if node.op_type in _PRODUCTS or sources & after:
            after.add(node.name)
    before: set[str] = set()
    for node in reversed(nodes):
        if node.op_type in _PRODUCTS or node.name in before:
            before |= {makers[name] for name in node.input if name in makers}
    return [node.name for node in nodes if node.name in after & before]


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds calibration frames, each once, and shows them to `means` as they pass."""

    def __init__(self, pixels: Iterable[NDArray[np.uint8]], means: InputMeans) -> None:
        self._pixels, self._means = iter(pixels), means
        self._is_empty = True

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        part = next(self._pixels, None)
        if part is None:
            if self._is_empty:
                raise InvalidInput(
                    "no calibration frames: the snapshot's role `calibrate` is empty"
                )
            return None
        self._is_empty = False
        self._means.add(part)
        return {INPUT_NAME: part}


def _measure_ranges(graph: Path, reader: _Reader, ranges: Path) -> None:
    """Write the least and greatest value of each tensor to `ranges`, for `quantize_static`."""
    calibrator = create_calibrator(
        graph,
        list(_VARIANTS[0].operators),
        augmented_model_path=str(ranges.with_suffix(".onnx")),
        calibrate_method=CalibrationMethod.MinMax,
    )
    calibrator.collect_data(reader)
    save_tensors_data(calibrator.compute_data(), ranges)


def _marked_as_prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model saying that it is folded and has its shapes, as torch's exporter leaves it.

    Without the mark onnxruntime advises, through the root logger, to run a pass that would do so.
    """
    add_pre_process_metadata(model)
    return model


def _quantised(graph: Path, ranges: Path, nodes: list[str], variant: _Variant) -> bytes:
    target = graph.with_name(variant.file)
    quantize_static(
        graph,
        target,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(variant.operators),
        per_channel=True,
        activation_type=variant.activations,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=nodes,
        calibrate_method=CalibrationMethod.MinMax,
        calibration_cache_path=ranges,
        extra_options=dict(variant.options),
    )
    return canonical_bytes(onnx.load(target))
