"""ONNX models as bytes that depend on what they compute and on nothing else.

Two exports of one model are one file, so that the bundle has one name; no path, version or stack
trace of the machine that exported goes to the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx
from google.protobuf.message import Message

INPUT_NAME = "pixels"
OPSET = 20
IR_VERSION = 10


def canonical_bytes(model: onnx.ModelProto) -> bytes:
    """The checked model as bytes; what only says where and when it was made is taken out of it.

    Raises:
        onnx.checker.ValidationError: when the model is not valid ONNX.
    """
    model.ir_version = IR_VERSION
    notes = ["metadata_props", "doc_string"]
    graph = model.graph
    _clear([model], [*notes, "producer_name", "producer_version"])
    _clear([graph, *graph.node], notes)
    _clear([*graph.input, *graph.output, *graph.value_info, *graph.initializer], notes)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _clear(parts: Iterable[Message], fields: Sequence[str]) -> None:
    for part in parts:
        for field in fields:
            part.ClearField(field)
