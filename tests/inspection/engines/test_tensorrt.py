import ctypes
from pathlib import Path

import numpy as np
import pytest

from inspection.bundle import plan_name
from inspection.engines.cuda_driver import CudaDevice
from inspection.engines.engine import available, open_engine
from inspection.engines.tensorrt import plan_path
from store.errors import Unavailable
from tests.data.bundle import generate


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


needs_no_gpu = pytest.mark.skipif(has_driver(), reason="an NVIDIA driver is here")
needs_gpu = pytest.mark.skipif(not has_driver(), reason="needs an NVIDIA GPU")


def add_plan(folder: Path, version: str, capabilities: list[str], data: bytes = b"") -> Path:
    path = folder / plan_name("graph.onnx", "tensorrt_rtx", version, capabilities)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_the_plan_fits_graph_library_version_and_gpu(tmp_path: Path) -> None:
    ampere, blackwell = (add_plan(tmp_path, "1.7", names) for names in (["sm86"], ["sm100"]))
    old = add_plan(tmp_path, "1.6", ["sm86", "sm89"])
    assert plan_path(tmp_path, "graph.onnx", "tensorrt_rtx", "1.7", "sm86") == ampere
    assert plan_path(tmp_path, "graph.onnx", "tensorrt_rtx", "1.7", "sm100") == blackwell
    assert plan_path(tmp_path, "graph.onnx", "tensorrt_rtx", "1.6", "sm89") == old


@pytest.mark.parametrize(
    ("graph", "library", "version", "capability"),
    [
        ("graph.onnx", "tensorrt_rtx", "1.7", "sm8"),
        ("graph.onnx", "tensorrt_rtx", "1.6", "sm86"),
        ("graph.onnx", "tensorrt", "1.7", "sm86"),
        ("graph.int8.s8s8.onnx", "tensorrt_rtx", "1.7", "sm86"),
    ],
)
def test_no_other_plan_is_loaded(
    tmp_path: Path, graph: str, library: str, version: str, capability: str
) -> None:
    add_plan(tmp_path, "1.7", ["sm86"])
    with pytest.raises(Unavailable, match="build one"):
        plan_path(tmp_path, graph, library, version, capability)


@needs_no_gpu
def test_without_a_driver_it_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(generate.graph())
    with pytest.raises(Unavailable, match="no NVIDIA driver"):
        CudaDevice()
    with pytest.raises(Unavailable, match=r"no NVIDIA driver|is installed"):
        open_engine("tensorrt", tmp_path)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.skipif("tensorrt" not in available(), reason="needs tensorrt or tensorrt-rtx")
@pytest.mark.parametrize("count", [1, 4, 9])
def test_a_plan_gives_what_the_operators_define(tmp_path: Path, count: int) -> None:
    """9 frames exceed the plan's largest batch and run in three calls."""
    import importlib.util

    name = "tensorrt" if importlib.util.find_spec("tensorrt") else "tensorrt_rtx"
    trt = importlib.import_module(name)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(generate.graph()), parser.get_error(0)
    settings = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("pixels", *((n, 32, 32, 3) for n in (1, 2, 4)))
    settings.add_optimization_profile(profile)
    path = tmp_path / plan_name("graph.onnx", name, trt.__version__, [CudaDevice().capability])
    path.parent.mkdir(parents=True)
    path.write_bytes(builder.build_serialized_network(network, settings))
    (tmp_path / "graph.onnx").write_bytes(generate.graph())
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)
    found = open_engine("tensorrt", tmp_path).run(pixels)
    expected = generate.reference(generate.graph(), pixels)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-2)
