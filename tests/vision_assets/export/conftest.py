from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from inspection import bundle as bundles
from inspection.bundle import Bundle
from inspection.inspector import FrameContext, Inspection, Inspector
from inspection.preprocess import prepare
from store.hashing import canonical_json
from store.root import Store
from tests.data.spots import generate
from tests.data.spots.generate import CONTRACT, RULE, FlatterNet, Frame, SpotNet, SwappedNet
from tests.vision_assets.export import spot_line
from vision_assets.export.graph import export_graph
from vision_assets.export.parity import Reference
from vision_assets.export.quantise import quantise

LINE = spot_line.LINE
NETS: Mapping[str, type[SpotNet]] = {
    "right": SpotNet,
    "flatter": FlatterNet,
    "swapped": SwappedNet,
}
MakeBundle = Callable[[Mapping[str, bytes]], Bundle]


@pytest.fixture(scope="session")
def graphs() -> dict[str, bytes]:
    """The float graph of each net, by its name."""
    return {name: export_graph(generate.trained(kind), CONTRACT) for name, kind in NETS.items()}


@pytest.fixture(scope="session")
def calibration() -> list[NDArray[np.uint8]]:
    """The graph's input for calibration frames, eight at a time."""
    pixels = [prepare(frame.data, CONTRACT.input).pixels for frame in generate.frames(64, seed=1)]
    return [np.stack(pixels[first : first + 8]) for first in range(0, 64, 8)]


@pytest.fixture(scope="session")
def int8(
    graphs: dict[str, bytes],
    calibration: list[NDArray[np.uint8]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, bytes]:
    """Both INT8 graphs of the right net."""
    folder = tmp_path_factory.mktemp("int8")
    path = folder / bundles.GRAPH
    path.write_bytes(graphs["right"])
    return quantise(path, calibration, folder)


@pytest.fixture(scope="session")
def reference() -> Reference:
    """Test frames with what torch answered, as an evaluation stores it."""
    shown = {frame.frame_id: frame for frame in generate.frames(120, seed=2)}
    inspector = Inspector(CONTRACT, RULE, generate.TorchEngine(generate.trained()))
    frames = [(frame_id, frame.data, FrameContext("c1")) for frame_id, frame in shown.items()]
    rows = [
        _prediction(shown[frame_id], answer)
        for frame_id, answer in inspector.inspect_many(frames, batch_size=16, workers=1)
        if isinstance(answer, Inspection)
    ]

    def read(frame_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        return ((frame_id, shown[frame_id].data) for frame_id in frame_ids)

    return Reference(pl.DataFrame(rows, schema_overrides={"product": pl.String}), read)


def _prediction(frame: Frame, answer: Inspection) -> dict[str, object]:
    return {
        "frame_id": frame.frame_id,
        "camera": "c1",
        "product": None,
        "label": "good" if frame.kind == "good" else "defect",
        "classes": [] if frame.kind == "good" else [frame.kind],
        "score": float(answer.outputs.score[0]),
        "class_scores": [float(value) for value in answer.outputs.class_scores[0]],
        "p": answer.verdict.score,
        "verdict": answer.verdict.label.value,
    }


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Publishes graphs as a bundle of `LINE` and fetches it."""

    def make(files: Mapping[str, bytes]) -> Bundle:
        store = Store(str(tmp_path / "store"))
        described = {
            bundles.CONTRACT: canonical_json(CONTRACT.model_dump(mode="json")),
            bundles.RULE: canonical_json(RULE.model_dump(mode="json")),
        }
        published = bundles.publish(store, LINE, {**described, **files}, {}, {})
        return bundles.fetch(store, LINE, published.name, tmp_path / "cache")

    return make


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store up to the evaluation, whose name comes with it; `line_store` is a copy."""
    folder = tmp_path_factory.mktemp("line") / "store"
    return folder, spot_line.build(Store(str(folder)))


@pytest.fixture
def line_store(evaluated: tuple[Path, str], tmp_path: Path) -> Store:
    """A line up to its evaluation, for one test."""
    shutil.copytree(evaluated[0], tmp_path / "line")
    return Store(str(tmp_path / "line"))


@pytest.fixture
def evaluation(evaluated: tuple[Path, str]) -> str:
    """The evaluation's name."""
    return evaluated[1]
