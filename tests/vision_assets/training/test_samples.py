from __future__ import annotations

import numpy as np

from tests.data.plates.generate import CLASSES, SETTINGS
from vision_assets.learning.task import UNKNOWN_CLASS, Sample
from vision_assets.training.feed import Feed
from vision_assets.training.samples import TrainingSamples, plain_sample


def _made(feed: Feed, share: float, number: int) -> list[Sample]:
    settings = SETTINGS.training.model_copy(update={"pasted_defects": share})
    samples = TrainingSamples(feed.train, CLASSES, settings)
    good = [i for i in range(len(feed.train)) if not feed.train.is_defective[i]]
    return [samples.sample(good[place % len(good)], 0, place) for place in range(number)]


def test_the_same_place_gives_the_same_sample(feed: Feed) -> None:
    first, again, elsewhere, later = (
        feed.samples.sample(3, epoch, place) for epoch, place in ((1, 7), (1, 7), (1, 8), (2, 7))
    )
    assert np.array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, elsewhere.pixels)
    assert not np.array_equal(first.pixels, later.pixels)


def test_good_frames_become_defective_as_often_as_set(feed: Feed) -> None:
    assert not any(sample.is_defective for sample in _made(feed, 0.0, 40))
    pasted = [sample for sample in _made(feed, 1.0, 60) if sample.is_defective]
    assert len(pasted) > 55
    drawn = [sample for sample in pasted if sample.classes is None]
    assert 5 < len(drawn) < 35
    for sample in pasted:
        assert sample.mask is not None
        kinds = {int(value) for value in np.unique(sample.mask) if value}
        assert len(kinds) <= 1
        if kinds:
            (kind,) = kinds
            assert sample.classes == (None if kind == UNKNOWN_CLASS else (CLASSES[kind - 1],))


def test_a_plain_sample_is_the_frame(feed: Feed) -> None:
    sample = plain_sample(feed.tune, 0)
    assert sample.pixels is feed.tune.pixels(0)
    assert sample.is_defective == feed.tune.is_defective[0]
