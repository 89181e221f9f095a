"""The Triton repository: its config by Triton's own definition, its ports those of the graph.

No Triton server runs here; what is checked is that its definition accepts the file, and that file
and graph say the same.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper

from inspection.bundle import GRAPH
from store import ledger
from store.errors import Conflict, InvalidInput, NotFound
from store.keys import LineKey
from store.root import Store
from tests.data.bundle.generate import CLASSES, write_bundle
from vision_assets.export.triton import LABELS, MAX_BATCH, export_triton, ports

LINE = LineKey("turin", "press-3")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A line whose second release is another bundle than its first."""
    store = Store(str(tmp_path_factory.mktemp("store")))
    for seed in (0, 1):
        bundle = write_bundle(store, LINE, seed=seed, engines=("onnxruntime",))
        draft = ledger.Draft(action="promote", bundle=bundle.name, who="tester")
        ledger.append(store, LINE, draft)
    return store


@pytest.fixture(scope="module")
def definition() -> ModuleType:
    """Triton's ``model_config.proto``, without the client around it, which would not load here."""
    found = importlib.util.find_spec("tritonclient")
    assert found is not None, "tritonclient is missing: make setup-dev"
    assert found.submodule_search_locations is not None
    path = Path(found.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_triton_s_definition_accepts_it_and_the_graph_agrees(
    store: Store, definition: ModuleType, tmp_path: Path
) -> None:
    folder = export_triton(store, LINE, 2, tmp_path / "repository")
    assert folder == tmp_path / "repository" / "turin-press-3"
    config = text_format.Parse((folder / "config.pbtxt").read_text(), definition.ModelConfig())
    assert (config.name, config.backend) == ("turin-press-3", "onnxruntime")
    assert config.max_batch_size == MAX_BATCH
    session = onnxruntime.InferenceSession(str(folder / "2" / "model.onnx"))
    for declared, ours in (
        (config.input, session.get_inputs()),
        (config.output, session.get_outputs()),
    ):
        assert [one.name for one in declared] == [one.name for one in ours]
        for one, other in zip(declared, ours, strict=True):
            shape = one.reshape.shape if one.HasField("reshape") else one.dims
            assert ["N", *shape] == other.shape
            kind = {definition.TYPE_UINT8: "tensor(uint8)", definition.TYPE_FP32: "tensor(float)"}
            assert kind[one.data_type] == other.type
    (labelled,) = [one for one in config.output if one.label_filename]
    assert labelled.name == "class_scores"
    assert (folder / LABELS).read_text().split() == list(CLASSES)
    pixels = np.zeros((MAX_BATCH, *config.input[0].dims), np.uint8)
    assert len(session.run(None, {config.input[0].name: pixels})[0]) == MAX_BATCH


def test_it_holds_the_release_that_was_asked_for(store: Store, tmp_path: Path) -> None:
    first, second = (
        export_triton(store, LINE, number, tmp_path / str(number)) for number in (1, 2)
    )
    graphs = [(first / "1" / "model.onnx").read_bytes(), (second / "2" / "model.onnx").read_bytes()]
    assert graphs[0] != graphs[1]
    readme = (second / "README.md").read_text()
    assert readme.startswith("# turin/press-3@2 for Triton")
    assert "no Triton server has run it" in readme
    assert {path.name for path in second.iterdir()} == {
        "2", "config.pbtxt", LABELS, "README.md", "contract.json", "rule.json",
    }  # fmt: skip


def test_nothing_is_written_over(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "there"
    target.mkdir()
    export_triton(store, LINE, 1, target)  # an empty folder is as good as none
    with pytest.raises(Conflict, match="has a model turin-press-3 already"):
        export_triton(store, LINE, 2, target)
    assert not (target / "turin-press-3" / "2").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(Conflict, match="no folder"):
        export_triton(store, LINE, 1, tmp_path / "file")


def test_a_repository_holds_several_models(store: Store, tmp_path: Path) -> None:
    other = LineKey("turin", "press-4")
    bundle = write_bundle(store, other, seed=2, engines=("onnxruntime",))
    draft = ledger.Draft(action="promote", bundle=bundle.name, who="tester")
    ledger.append(store, other, draft)
    for line in (LINE, other):
        export_triton(store, line, 1, tmp_path / "models")
    names = {path.name for path in (tmp_path / "models").iterdir()}
    assert names == {"turin-press-3", "turin-press-4"}
    assert {path.name for path in tmp_path.iterdir()} == {"models"}


def test_a_failure_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound, match="no release 9"):
        export_triton(store, LINE, 9, tmp_path / "a")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        export_triton(store, LINE, 1, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (TensorProto.UINT8, ["N", "H", 3]),
        (TensorProto.STRING, ["N", 4]),
        (TensorProto.FLOAT, []),
    ],
)
def test_a_graph_that_triton_could_not_be_told_of_is_refused(
    tmp_path: Path, kind: int, shape: list[str | int | None]
) -> None:
    value = helper.make_tensor_value_info("x", kind, shape)
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["x"])], "g", [value], [value])
    path = tmp_path / GRAPH
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(InvalidInput, match="only the first axis may be free"):
        ports(path)


def test_a_graph_of_a_fixed_batch_is_taken_as_it_is(definition: ModuleType, tmp_path: Path) -> None:
    from vision_assets.export.triton import config_text

    value = helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 4, 4, 3])
    graph = helper.make_graph([], "g", [value], [value])
    path = tmp_path / GRAPH
    onnx.save(helper.make_model(graph), str(path))
    inputs, outputs = ports(path)
    config = text_format.Parse(config_text("m", inputs, outputs), definition.ModelConfig())
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [1, 4, 4, 3]
    assert not config.HasField("dynamic_batching")
