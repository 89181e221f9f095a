from pathlib import Path

import numpy as np
import pytest

from inspection.engines.openvino import OpenVinoEngine
from tests.data.bundle import generate


@pytest.mark.parametrize(("threads", "streams"), [(1, 1), (2, 1), (1, 2)])
def test_scores_are_computed_in_full_precision(tmp_path: Path, threads: int, streams: int) -> None:
    """The library's own default, bfloat16 where the CPU has it, is off by far more."""
    (tmp_path / "graph.onnx").write_bytes(generate.graph())
    pixels = np.random.default_rng(1).integers(0, 256, (8, 32, 32, 3), np.uint8)
    found = OpenVinoEngine(tmp_path, "graph.onnx", threads, streams).run(pixels)
    expected = generate.reference(generate.graph(), pixels)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-5)
