from pathlib import Path

import numpy as np
import pytest

from inspection.engines.onnx_runtime import OnnxRuntimeEngine, has_cuda
from store.errors import Unavailable
from tests.data.bundle import generate


@pytest.mark.parametrize(("threads", "streams"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_threads_and_streams_do_not_change_answers(
    tmp_path: Path, threads: int, streams: int
) -> None:
    (tmp_path / "graph.onnx").write_bytes(generate.graph())
    pixels = np.full((2, 32, 32, 3), 100, np.uint8)
    found = OnnxRuntimeEngine(tmp_path, "graph.onnx", threads, streams).run(pixels)
    expected = generate.reference(generate.graph(), pixels)
    assert found.score == pytest.approx(expected.score, abs=1e-5)


@pytest.mark.skipif(has_cuda(), reason="this build knows CUDA")
def test_cuda_is_refused_where_the_session_does_not_have_it(tmp_path: Path) -> None:
    """The session falls back to the CPU without an error; answering as CUDA would be a lie."""
    (tmp_path / "graph.onnx").write_bytes(generate.graph())
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(Unavailable, match="CUDA does not run here"),
    ):
        OnnxRuntimeEngine(tmp_path, "graph.onnx", cuda=True)


@pytest.mark.gpu
@pytest.mark.skipif(not has_cuda(), reason="needs onnxruntime-gpu and an NVIDIA GPU")
def test_cuda_gives_what_the_operators_define(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(generate.graph())
    pixels = np.full((2, 32, 32, 3), 100, np.uint8)
    found = OnnxRuntimeEngine(tmp_path, "graph.onnx", cuda=True).run(pixels)
    expected = generate.reference(generate.graph(), pixels)
    assert found.score == pytest.approx(expected.score, abs=1e-3)
