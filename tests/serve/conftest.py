from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.client import Client
from serve.server import Server
from store.root import Store
from tests.serve.running import promote, serving


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Client]]:
    """A server with a colour bundle, shared by the tests of a module."""
    folder = tmp_path_factory.mktemp("live")
    promote(Store(str(folder / "store")))
    with serving(folder) as both:
        yield both
