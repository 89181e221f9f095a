"""A torch module as an ONNX graph, dynamic in N only.

Loads torch when imported; runs in the process of `vision_assets.export.build`.
"""

from __future__ import annotations

import warnings

import onnx
import torch

from inspection.contract import Contract
from inspection.outputs import BOX_VALUES
from store.errors import InvalidInput
from vision_assets.export.canonical import INPUT_NAME, OPSET, canonical_bytes


def export_graph(module: torch.nn.Module, contract: Contract) -> bytes:
    """The module as ONNX bytes, the same for the same weights each time.

    Args:
        module: Maps (N, height, width, channels) uint8 to the contract's outputs.
        contract: Says the shapes.

    Raises:
        InvalidInput: when the graph's outputs are not what the contract says.
    """
    spec = contract.input
    # Two frames: the exporter takes a first axis of 1 for a constant.
    pixels = torch.zeros((2, spec.height, spec.width, spec.channels), dtype=torch.uint8)
    with warnings.catch_warnings():
        # The exporter warns of its own deprecated parts: nothing that a caller could mend.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            (pixels,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=list(contract.output_names),
            dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _check_outputs(model, contract)
    return canonical_bytes(model)


def _check_outputs(model: onnx.ModelProto, contract: Contract) -> None:
    expected: dict[str, list[int]] = {
        "score": [],
        "class_scores": [len(contract.classes)],
        "embedding": [contract.embedding_size],
        "map": [contract.map_height, contract.map_width],
    }
    if contract.segments:
        expected["segments"] = [len(contract.classes), *contract.segments]
    if contract.boxes:
        expected["boxes"] = [contract.boxes, BOX_VALUES]
    found = {
        output.name: [dim.dim_value for dim in output.type.tensor_type.shape.dim][1:]
        for output in model.graph.output
    }
    if found != expected:
        raise InvalidInput(
            f"the graph gives {found} for each frame, the contract says {expected}: train again, "
            "or mend the task's graph module"
        )
