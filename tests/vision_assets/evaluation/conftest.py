from __future__ import annotations

import pytest
from hypothesis import settings

from tests.data.predictions.generate import CLASSES, Recipe, rows_and_outputs
from vision_assets.config import LineConfig
from vision_assets.evaluation.evaluate import describe
from vision_assets.evaluation.figures import Evaluation
from vision_assets.evaluation.judge import Judged, judge

# Machines that build are busy; how long an example takes says nothing about the code.
settings.register_profile("evaluation", deadline=None, max_examples=60)
settings.load_profile("evaluation")


@pytest.fixture(scope="session")
def judged() -> Judged:
    """A model judged on two hundred parts; not to be changed."""
    rows, outputs = rows_and_outputs(Recipe())
    return judge(rows, outputs, CLASSES, LineConfig())


@pytest.fixture(scope="session")
def figures(judged: Judged) -> Evaluation:
    """The figures of `judged`."""
    rows, _ = rows_and_outputs(Recipe())
    origin = {"model": "m", "snapshot": "s", "config": "c"}
    return describe(judged, rows, CLASSES, origin)
