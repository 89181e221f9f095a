from __future__ import annotations

import pytest

from inspection.rulebased.check import Check
from tests.data.boards.generate import known_check


@pytest.fixture(scope="session")
def golden_check() -> Check:
    """A check of two products on one camera; not to be changed."""
    return known_check()
