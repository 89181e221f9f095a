from pathlib import Path

import pytest
from hypothesis import settings

from inspection import bundle
from inspection.bundle import Bundle
from store.keys import LineKey
from store.root import Store
from tests.data.bundle import generate

# How long an example takes on a busy machine says nothing about the code.
settings.register_profile("inspection", deadline=None)
settings.load_profile("inspection")


@pytest.fixture(scope="session")
def line() -> LineKey:
    return LineKey("turin", "press-3")


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="session")
def tiny(tiny_store: Store, line: LineKey, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A tiny bundle in a cache; not to be changed."""
    artifact = generate.write_bundle(tiny_store, line)
    return bundle.fetch(tiny_store, line, artifact.name, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))
