"""What every engine must do alike, tried on each that is installed here and needs no GPU."""

import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from inspection.engines.engine import NAMES, Engine, available, open_engine
from inspection.outputs import OUTPUT_NAMES, Outputs
from store.errors import InvalidInput, NotFound, Unavailable
from tests.data.bundle import generate

CPU_ENGINES = [name for name in available() if name in ("onnxruntime", "openvino")]
PIXELS = np.random.default_rng(0).integers(0, 256, (17, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graphs")
    (path / "graph.onnx").write_bytes(generate.graph())
    (path / "grey.onnx").write_bytes(generate.graph(channels=1))
    return path


@pytest.fixture(scope="module", params=CPU_ENGINES)
def engine(request: pytest.FixtureRequest, folder: Path) -> Engine:
    return open_engine(request.param, folder, streams=2)


def assert_close(found: Outputs, expected: Outputs) -> None:
    for name in OUTPUT_NAMES:
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == np.float32
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-5, err_msg=name)


def test_both_cpu_engines_are_tried() -> None:
    assert CPU_ENGINES == ["onnxruntime", "openvino"]
    assert set(available()) <= set(NAMES)


@pytest.mark.parametrize("count", [1, 2, 5, 17])
def test_outputs_are_what_the_operators_define(engine: Engine, count: int) -> None:
    pixels = PIXELS[:count]
    assert_close(engine.run(pixels), generate.reference(generate.graph(), pixels))


def test_grey_graphs_run(folder: Path) -> None:
    pixels = PIXELS[:2, ..., :1].copy()
    expected = generate.reference(generate.graph(channels=1), pixels)
    for name in CPU_ENGINES:
        assert_close(open_engine(name, folder, "grey.onnx").run(pixels), expected)


def test_rows_of_a_batch_equal_single_rows(engine: Engine) -> None:
    together = engine.run(PIXELS)
    for index in range(len(PIXELS)):
        assert_close(together.row(index), engine.run(PIXELS[index : index + 1]))


def test_what_a_call_gave_is_left_alone_by_the_next(engine: Engine) -> None:
    first = engine.run(PIXELS[:2])
    kept = [getattr(first, name).copy() for name in OUTPUT_NAMES]
    engine.run(PIXELS[2:4])
    for name, array in zip(OUTPUT_NAMES, kept, strict=True):
        np.testing.assert_array_equal(getattr(first, name), array)


def test_pixels_that_are_not_contiguous_are_read_right(engine: Engine) -> None:
    view: NDArray[np.uint8] = PIXELS[:3, :, ::-1]
    assert not view.flags.c_contiguous
    assert_close(engine.run(view), engine.run(np.ascontiguousarray(view)))


def test_several_threads_may_call_at_once(engine: Engine) -> None:
    expected = [engine.run(PIXELS[i : i + 1]) for i in range(len(PIXELS))]
    failures: list[BaseException] = []

    def call(first: int) -> None:
        try:
            for index in [*range(first, len(PIXELS)), *range(first)] * 3:
                assert_close(engine.run(PIXELS[index : index + 1]), expected[index])
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=call, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_engine_says_what_it_is(engine: Engine) -> None:
    assert engine.graph == "graph.onnx"
    assert engine.build.startswith(engine.name)
    assert any(character.isdigit() for character in engine.build)


@pytest.mark.parametrize(
    "pixels",
    [PIXELS[:1, :16], PIXELS[:1, ..., :1], PIXELS[0]],
    ids=["height", "channels", "axes"],
)
def test_pixels_the_graph_does_not_take_are_an_engine_failure(
    engine: Engine, pixels: NDArray[np.uint8]
) -> None:
    with pytest.raises(Unavailable, match=engine.name):
        engine.run(pixels)
    assert len(engine.run(PIXELS[:1])) == 1


@pytest.mark.parametrize("name", CPU_ENGINES)
def test_a_missing_graph_is_not_found(name: str, folder: Path) -> None:
    with pytest.raises(NotFound, match=r"no graph other\.onnx"):
        open_engine(name, folder, "other.onnx")


def test_an_unknown_engine_is_not_found(folder: Path) -> None:
    with pytest.raises(NotFound, match="onnxruntime, openvino, onnxruntime-cuda, tensorrt"):
        open_engine("caffe", folder)


@pytest.mark.parametrize("name", CPU_ENGINES)
@pytest.mark.parametrize("data", [b"", b"not a graph", generate.graph()[:300]])
def test_a_graph_that_cannot_be_read_is_unavailable(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(data)
    with pytest.raises(Unavailable, match=r"graph\.onnx"):
        open_engine(name, tmp_path)


@pytest.mark.parametrize("name", CPU_ENGINES)
def test_a_graph_without_an_output_is_refused(name: str, tmp_path: Path) -> None:
    model = onnx.load_model_from_string(generate.graph())
    model.graph.output.pop()
    (tmp_path / "graph.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidInput, match=r"lacks the outputs \['map'\]"):
        open_engine(name, tmp_path)


@pytest.mark.parametrize("name", CPU_ENGINES)
def test_outputs_are_taken_by_name_not_by_order(name: str, tmp_path: Path) -> None:
    model = onnx.load_model_from_string(generate.graph())
    reordered = list(model.graph.output)[::-1]
    del model.graph.output[:]
    model.graph.output.extend(reordered)
    (tmp_path / "graph.onnx").write_bytes(model.SerializeToString())
    expected = generate.reference(generate.graph(), PIXELS[:2])
    assert_close(open_engine(name, tmp_path).run(PIXELS[:2]), expected)
