from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from inspection.contract import InputSpec
from store.hashing import sha256
from store.root import Store
from tests.data.plates import generate
from tests.data.plates.generate import LINE, SETTINGS
from vision_assets.progress import silent
from vision_assets.training.feed import Feed, open_feed
from vision_assets.training.request import Request, ask
from vision_assets.training.source import FrameSource, pack_mask

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def plates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    """A store with a line of plates, and the name of its snapshot; not to be changed."""
    store = Store(str(tmp_path_factory.mktemp("plates")))
    return store, generate.frozen_line(store).name


@pytest.fixture(scope="session")
def request_of_plates(plates: tuple[Store, str]) -> Request:
    """What training the line of plates is asked for."""
    store, snapshot = plates
    return ask(store.url, str(LINE), snapshot, SETTINGS, threads=1)


@pytest.fixture
def feed(plates: tuple[Store, str], request_of_plates: Request) -> Feed:
    """The frames of the line of plates."""
    return open_feed(plates[0], LINE, request_of_plates, silent)


MakeSource = Callable[[Sequence[tuple[Pixels, Pixels]]], FrameSource]


@pytest.fixture
def make_source(tmp_path: Path) -> MakeSource:
    """Makes a source of defective frames (h, w, 1) with their masks (h, w)."""

    def make(frames: Sequence[tuple[Pixels, Pixels]]) -> FrameSource:
        store = Store(str(tmp_path))
        for index, (pixels, _) in enumerate(frames):
            store.write(str(index), cv2.imencode(".png", pixels)[1].tobytes())
        names = [str(index) for index in range(len(frames))]
        text = dict.fromkeys(("frame_id", "content_hash", "label", "shard"), pl.String)
        table = pl.DataFrame(
            {
                "frame_id": names,
                "label": ["defect"] * len(names),
                "classes": [["pit"]] * len(names),
                "content_hash": [sha256(store.read(name)) for name in names],
                "shard": names,
                "offset": [0] * len(names),
                "length": [store.size(name) for name in names],
            },
            schema_overrides={**text, "classes": pl.List(pl.String)},
        )
        height, width = frames[0][0].shape[:2] if frames else (64, 64)
        spec = InputSpec(channels=1, height=height, width=width)
        masks = {str(index): pack_mask(mask, spec) for index, (_, mask) in enumerate(frames)}
        packed = {name: mask for name, mask in masks.items() if mask is not None}
        return FrameSource(store, table, packed, spec)

    return make


@pytest.fixture
def empty_store(tmp_path: Path) -> Store:
    """A store without anything."""
    return Store(str(tmp_path / "store"))
