import numpy as np
import pytest

from inspection.outputs import OUTPUT_NAMES, Outputs, output_names
from store.errors import InvalidInput


def test_a_row_keeps_its_axis() -> None:
    rng = np.random.default_rng(0)
    shapes = ((3,), (3, 2), (3, 4), (3, 5, 6))
    outputs = Outputs(*(rng.random(shape).astype(np.float32) for shape in shapes))
    assert len(outputs) == 3
    row = outputs.row(1)
    assert len(row) == 1
    for name in OUTPUT_NAMES:
        np.testing.assert_array_equal(getattr(row, name)[0], getattr(outputs, name)[1])


def test_all_outputs_are_required() -> None:
    assert output_names("g", ["boxes", *OUTPUT_NAMES, "other"]) == [*OUTPUT_NAMES, "boxes"]
    with pytest.raises(InvalidInput, match=r"graph.onnx lacks the outputs \['map'\]"):
        output_names("graph.onnx", OUTPUT_NAMES[:3])
