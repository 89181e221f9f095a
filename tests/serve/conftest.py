from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.client import Client
from serve.logs import JsonFormatter
from serve.server import Server
from store.root import Store
from tests.serve.running import promote, serving


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands that are called in this process set logging up for a process of their own."""
    names = ("", "serve", "inspection", "store")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h.formatter, JsonFormatter)]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


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
