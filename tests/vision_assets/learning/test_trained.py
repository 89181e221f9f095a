from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MobileNetV2Config, MobileNetV2Model

from inspection.contract import Contract, InputSpec
from inspection.outputs import OUTPUT_NAMES
from store import artifacts
from store.artifacts import Artifact
from store.errors import Corrupt
from store.hashing import canonical_json
from store.keys import LineKey
from store.root import Store
from vision_assets.learning import pretrained
from vision_assets.learning.classification.task import TASK
from vision_assets.learning.engine import TorchEngine
from vision_assets.learning.task import Network
from vision_assets.learning.trained import CONTRACT, WEIGHTS, load_graph, pack

LINE = LineKey("turin", "press-3")
CLASSES = ("pit", "crack")


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A network on a folded backbone."""
    torch.manual_seed(0)
    config = MobileNetV2Config(depth_multiplier=0.35, tf_padding=True)
    MobileNetV2Model(config).save_pretrained(tmp_path / "backbone")
    made = TASK.network(pretrained.load(tmp_path / "backbone", 64, 96), CLASSES)
    return made.train(False)


@pytest.fixture
def model(network: Network, tmp_path: Path) -> tuple[Store, Artifact]:
    """Its files, as training publishes them."""
    store = Store(str(tmp_path / "store"))
    contract = Contract(
        task="classification",
        classes=CLASSES,
        input=InputSpec(channels=1, height=64, width=96),
        embedding_size=448,
        map_height=8,
        map_width=12,
        stats_version=1,
    )
    contents = {
        WEIGHTS: pack(network.state_dict(), network.backbone.spec),
        CONTRACT: canonical_json(contract.model_dump(mode="json")),
    }
    files = {
        name: artifacts.write_file(store, LINE, "models", "m", name, data)
        for name, data in contents.items()
    }
    return store, artifacts.publish(store, LINE, Artifact("models", "m", {}, files))


def test_the_graph_of_the_files_is_the_network(
    network: Network, model: tuple[Store, Artifact]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 1)).astype(np.uint8)
    found = TorchEngine.load(model[0], LINE, model[1]).run(pixels)
    with torch.no_grad():
        wanted = TASK.graph(network)(torch.from_numpy(pixels))
    for name, theirs in zip(OUTPUT_NAMES, wanted, strict=True):
        ours = getattr(found, name)
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)


def test_the_graph_is_ready_to_export(model: tuple[Store, Artifact]) -> None:
    graph = load_graph(model[0], LINE, model[1])
    assert not any(module.training for module in graph.modules())
    assert not any(parameter.requires_grad for parameter in graph.parameters())


def test_changed_weights_are_refused(model: tuple[Store, Artifact]) -> None:
    store, artifact = model
    path = store.local_path(artifact.file(WEIGHTS).path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(Corrupt):
        load_graph(store, LINE, artifact)
