"""INT8 graphs from the float graph, calibrated on frames: one for CPU runtimes, one for TensorRT.

Both are QDQ with weights per output channel. The range of each tensor is the least and greatest
value over the calibration frames, taken once for both graphs. Only what lies between the first and
the last matrix product is quantised: preprocessing and the heads, whose outputs are compared with
thresholds, stay float (docs/decisions/0007-int8-and-tensorrt.md has the figures).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    quantize_static,
)
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from inspection.bundle import GRAPH_S8S8, GRAPH_U8S8
from store.errors import InvalidInput
from vision_assets.export.canonical import INPUT_NAME, canonical_bytes

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
    nodes = body(onnx.load(graph))
    if not nodes:
        raise InvalidInput("the graph has no layer between its first and last product to quantise")
    prepared = _marked_as_prepared(graph, folder)
    reader, ranges = _Reader(pixels), folder / "ranges.json"
    return {
        variant.file: _quantised(prepared, reader, ranges, nodes, variant) for variant in _VARIANTS
    }


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
    """Feeds the calibration frames once; the ranges they give serve every variant."""

    def __init__(self, pixels: Iterable[NDArray[np.uint8]]) -> None:
        self._pixels: Iterator[NDArray[np.uint8]] = iter(pixels)
        self.frames = 0

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        part = next(self._pixels, None)
        if part is None:
            if not self.frames:
                raise InvalidInput(
                    "no calibration frames: the snapshot's role `calibrate` is empty"
                )
            return None
        self.frames += len(part)
        return {INPUT_NAME: part}


def _marked_as_prepared(graph: Path, folder: Path) -> Path:
    """A copy that says it is folded and has its shapes, as torch's exporter leaves it.

    Without the mark onnxruntime advises, through the root logger, to run a pass that would do so.
    """
    model = onnx.load(graph)
    add_pre_process_metadata(model)
    prepared = folder / "prepared.onnx"
    onnx.save(model, prepared)
    return prepared


def _quantised(
    graph: Path, reader: _Reader, ranges: Path, nodes: list[str], variant: _Variant
) -> bytes:
    target = graph.with_name(variant.file)
    quantize_static(
        graph,
        target,
        reader,
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
