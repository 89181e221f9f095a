"""Training samples: one frame of the epoch's order, made defective at times, then augmented."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision_assets.config import TrainingSettings
from vision_assets.learning.task import UNKNOWN_CLASS, Sample
from vision_assets.training.augment import Augmentation
from vision_assets.training.pasting import Paster
from vision_assets.training.source import FrameSource

_DRAWN_SHARE = 0.3


class TrainingSamples:
    """Makes the samples of any epoch; the same for the same seed, epoch and place in the epoch."""

    def __init__(
        self, source: FrameSource, classes: Sequence[str], settings: TrainingSettings
    ) -> None:
        """Prepare for the frames of the role `train`."""
        self._source = source
        self._classes = classes
        self._settings = settings
        self._augment = Augmentation(settings.flips)
        self._paster = Paster(source)

    def sample(self, position: int, epoch: int, place: int) -> Sample:
        """The sample at `place` in an epoch, made from the frame at `position` of the source."""
        random = np.random.default_rng((self._settings.seed, epoch, place))
        made = plain_sample(self._source, position)
        if not made.is_defective and random.random() < self._settings.pasted_defects:
            made = self._with_defect(made, random)
        seed = int(random.integers(2**31))
        pixels, mask = self._augment(made.pixels, made.mask, seed)
        return Sample(pixels, made.is_defective, made.classes, mask)

    def _with_defect(self, good: Sample, random: np.random.Generator) -> Sample:
        assert good.mask is not None
        if self._paster.cuttings and random.random() >= _DRAWN_SHARE:
            pixels, mask, kind = self._paster.paste(good.pixels, good.mask, random)
            classes: tuple[str, ...] | None = (self._classes[kind - 1],)
        else:
            pixels, mask = self._paster.draw(good.pixels, good.mask, UNKNOWN_CLASS, random)
            classes = None
        return Sample(pixels, True, classes, mask) if mask.any() else good


def plain_sample(source: FrameSource, position: int) -> Sample:
    """The frame as it is."""
    return Sample(
        source.pixels(position),
        source.is_defective[position],
        source.classes[position],
        source.mask(position),
    )
