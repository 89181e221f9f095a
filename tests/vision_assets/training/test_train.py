from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.contract import Contract
from store import artifacts, tables
from store.artifacts import Artifact
from store.root import Store
from tests.data.plates import generate
from tests.data.plates.generate import CLASSES, LINE, SETTINGS
from vision_assets.config import LineConfig
from vision_assets.learning.engine import TorchEngine
from vision_assets.training.feed import Feed
from vision_assets.training.request import Request, ask
from vision_assets.training.train import train

FILES = ["augmented.png", "contract.json", "curves.png", "history.json", "weights.safetensors"]


@pytest.fixture(scope="session")
def trained(plates: tuple[Store, str]) -> tuple[Store, Artifact, list[str]]:
    """The line of plates with its model, and what was told meanwhile."""
    store, name = plates
    told: list[str] = []
    model = train(store, LINE, name, SETTINGS, lambda what, done, total: told.append(what))
    return store, model, told


def test_it_publishes_what_others_build_on(trained: tuple[Store, Artifact, list[str]]) -> None:
    store, model, _ = trained
    assert sorted(model.files) == FILES
    contract = Contract.model_validate_json(
        tables.read_verified(store, model.file("contract.json"))
    )
    assert (contract.task, contract.classes) == ("classification", CLASSES)
    assert (contract.map_height, contract.map_width, contract.embedding_size) == (8, 8, 192)
    history = json.loads(tables.read_verified(store, model.file("history.json")))
    assert [row["tune_loss"] for row in history["rows"]]
    assert history["threads"] == len(os.sched_getaffinity(0))
    for name in ("augmented.png", "curves.png"):
        data = tables.read_verified(store, model.file(name))
        assert cv2.imdecode(np.frombuffer(data, np.uint8), 1) is not None


def test_it_tells_how_far_it_is(trained: tuple[Store, Artifact, list[str]]) -> None:
    told = trained[2]
    assert told[0].startswith("warning: no backbone is set")
    assert any(what.startswith("epoch 1/3") for what in told)
    assert any("epoch 3/3 tune loss" in what for what in told)


def test_it_leaves_no_checkpoints(trained: tuple[Store, Artifact, list[str]]) -> None:
    store, model, _ = trained
    folder = store.local_path(artifacts.folder(LINE, "models", model.name))
    assert not (folder / "work").exists()


def test_the_engine_answers_as_the_contract_says(
    trained: tuple[Store, Artifact, list[str]], feed: Feed
) -> None:
    store, model, _ = trained
    engine = TorchEngine.load(store, LINE, model)
    outputs = engine.run(np.stack([feed.tune.pixels(i) for i in range(len(feed.tune))]))
    assert outputs.score.shape == (len(feed.tune),)
    assert outputs.class_scores.shape == (len(feed.tune), 2)
    assert outputs.map.shape == (len(feed.tune), 8, 8)
    assert outputs.embedding.shape == (len(feed.tune), 192)
    assert (engine.name, engine.graph) == ("torch", "weights.safetensors")


def test_asked_again_it_finds_the_model(trained: tuple[Store, Artifact, list[str]]) -> None:
    store, model, _ = trained
    told: list[str] = []
    again = train(
        store, LINE, model.inputs["snapshot"], SETTINGS, lambda what, *_: told.append(what)
    )
    assert again == model
    assert told == []


def test_killed_and_asked_again_it_ends_with_the_same_bits(
    trained: tuple[Store, Artifact, list[str]], empty_store: Store
) -> None:
    """SIGKILL in the second epoch, in a store of its own."""
    model = trained[1]
    name = generate.frozen_line(empty_store).name
    assert name == model.inputs["snapshot"]
    request = _request(empty_store, name, SETTINGS)
    assert request.name == model.name
    _kill_when(request, "epoch 2/3")
    assert artifacts.find(empty_store, LINE, "models", model.name) is None
    resumed = train(empty_store, LINE, name, SETTINGS)
    weights = "weights.safetensors"
    assert resumed.file(weights).sha256 == model.file(weights).sha256
    assert resumed.file("augmented.png").sha256 == model.file("augmented.png").sha256


def _request(store: Store, name: str, settings: LineConfig) -> Request:
    return ask(store.url, str(LINE), name, settings, len(os.sched_getaffinity(0)))


def _kill_when(request: Request, told: str) -> None:
    command = [sys.executable, "-m", "vision_assets.training.fit", request.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if told in line:
                os.kill(child.pid, signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_at_any_time_it_ends_with_the_same_bits(empty_store: Store, tmp_path: Path) -> None:
    """Stops early; killed after random times until a process comes through."""
    training = SETTINGS.training.model_copy(
        update={"epochs": 8, "patience": 1, "learning_rate": 0.05}
    )
    settings = SETTINGS.model_copy(update={"training": training})
    name = generate.frozen_line(empty_store, settings=settings).name
    undisturbed = train(empty_store, LINE, name, settings)
    assert undisturbed.summary["epochs"] < 8
    other = Store(str(tmp_path / "other"))
    generate.frozen_line(other, settings=settings)
    random = np.random.default_rng(0)
    while artifacts.find(other, LINE, "models", undisturbed.name) is None:
        _kill_after(_request(other, name, settings), float(random.uniform(4, 16)))
    killed = artifacts.read(other, LINE, "models", undisturbed.name)
    assert killed.file("weights.safetensors").sha256 == (
        undisturbed.file("weights.safetensors").sha256
    )
    assert killed.summary["epochs"] == undisturbed.summary["epochs"]


def _kill_after(request: Request, seconds: float) -> None:
    command = [sys.executable, "-m", "vision_assets.training.fit", request.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
