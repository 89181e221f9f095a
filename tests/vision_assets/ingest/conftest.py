"""A landing batch in a store of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.landing.generate import Batch


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch(tmp_path / "store")
