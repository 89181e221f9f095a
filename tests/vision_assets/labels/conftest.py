from __future__ import annotations

from pathlib import Path

import pytest

from store.keys import BatchKey
from store.root import Store
from tests.data.labels.generate import CLASSES, DataSet, Delivery
from vision_assets.config import LineConfig


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def settings() -> LineConfig:
    return LineConfig(classes=CLASSES)


@pytest.fixture
def delivery(store: Store, settings: LineConfig) -> Delivery:
    return Delivery(store, BatchKey("turin", "press-3", "shift-1"), settings)


@pytest.fixture
def data_set(tmp_path: Path) -> DataSet:
    return DataSet(tmp_path / "set")
