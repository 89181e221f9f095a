from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from vision_assets.learning.task import Sample, Targets
from vision_assets.training.loader import Loader


def _sample(position: int) -> Sample:
    time.sleep(0.002 * (position % 3))
    return Sample(np.full((2, 2, 1), position, np.uint8), bool(position % 2), (), None)


def _targets(samples: Sequence[Sample]) -> Targets:
    return {"bad": torch.tensor([sample.is_defective for sample in samples])}


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize(("length", "batches"), [(0, 0), (1, 1), (8, 2), (10, 3)])
def test_the_order_does_not_depend_on_threads(workers: int, length: int, batches: int) -> None:
    loader = Loader(_sample, _targets, length, batch_size=4, workers=workers)
    found = list(loader)
    assert len(found) == len(loader) == batches
    assert [int(value) for pixels, _ in found for value in pixels[:, 0, 0, 0]] == [*range(length)]
    for pixels, wanted in found:
        assert wanted["bad"].tolist() == (pixels[:, 0, 0, 0] % 2 == 1).tolist()


def test_it_can_be_gone_through_again() -> None:
    loader = Loader(_sample, _targets, 6, batch_size=4, workers=2)
    assert [len(pixels) for pixels, _ in loader] == [len(pixels) for pixels, _ in loader] == [4, 2]


def test_it_does_not_run_far_ahead() -> None:
    made: list[int] = []
    lock = threading.Lock()

    def sample(position: int) -> Sample:
        with lock:
            made.append(position)
        return _sample(position)

    batches = iter(Loader(sample, _targets, 1000, batch_size=1, workers=2))
    next(batches)
    time.sleep(0.1)
    assert len(made) <= 4


def test_stopping_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    batches = iter(Loader(_sample, _targets, 1000, batch_size=2, workers=2))
    next(batches)
    del batches
    assert threading.active_count() == before


def test_an_error_in_a_thread_is_raised() -> None:
    def broken(position: int) -> Sample:
        raise ValueError(f"frame {position}")

    with pytest.raises(ValueError, match="frame 0"):
        list(Loader(broken, _targets, 4, batch_size=2, workers=2))
