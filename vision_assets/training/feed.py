"""What a training is fed with: the frames of its snapshot, by role, as loaders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import polars as pl
from torch import Tensor

from inspection.contract import InputSpec
from inspection.statistics import PLANE_PX
from store import artifacts
from store.errors import InvalidInput
from store.keys import LineKey
from store.root import Store
from vision_assets.config import LineConfig
from vision_assets.dataset import snapshot
from vision_assets.learning.registry import class_names, needs_defects, task
from vision_assets.learning.task import Sample, Targets
from vision_assets.progress import Progress
from vision_assets.training.loader import Loader
from vision_assets.training.order import draw_weights, epoch_order
from vision_assets.training.request import Request
from vision_assets.training.samples import TrainingSamples, plain_sample
from vision_assets.training.source import FrameSource, pack_mask

_FEWEST_STEPS = 16
_REDUCTIONS: tuple[Literal[1, 2, 4, 8], ...] = (8, 4, 2)
_MASKS_AT_ONCE = 256


class Feed:
    """Frames of one training as loaders.

    Attributes:
        spec: The network's input.
        classes: Of the network, in order.
        length: Samples in one epoch: as many as there are frames, in whole batches, at least 16.
        tune_can_judge: Whether `tune` has good and defective frames.
    """

    def __init__(
        self, train: FrameSource, tune: FrameSource, settings: LineConfig, workers: int
    ) -> None:
        """Take the frames of both roles, which have the same input."""
        self.spec = train.spec
        self.train = train
        self.tune = tune
        self.classes = class_names(settings.task, settings.classes)
        self.samples = TrainingSamples(train, self.classes, settings.training)
        self.tune_can_judge = len(set(tune.is_defective)) == 2
        size = settings.training.batch_size
        self.length = max(_FEWEST_STEPS, round(len(train) / size)) * size
        self._batch_size = size
        self._seed = settings.training.seed
        self._weights = draw_weights(train.is_defective, train.classes)
        self._task = task(settings.task)
        self._workers = workers

    def train_loader(self, epoch: int) -> Loader:
        """Batches of one epoch."""
        order = epoch_order(self._weights, self.length, self._seed, epoch)

        def sample(place: int) -> Sample:
            return self.samples.sample(int(order[place]), epoch, place)

        return Loader(sample, self._targets, self.length, self._batch_size, self._workers)

    def tune_loader(self) -> Loader:
        """Batches of the frames of `tune` as they are."""
        sample = partial(plain_sample, self.tune)
        return Loader(sample, self._targets, len(self.tune), self._batch_size, self._workers)

    def good_frames(self, role: FrameSource) -> Iterator[Tensor]:
        """The good frames of `train` or `tune` as they are, in batches."""
        places = [place for place, bad in enumerate(role.is_defective) if not bad]

        def sample(position: int) -> Sample:
            return plain_sample(role, places[position])

        loader = Loader(sample, _nothing, len(places), self._batch_size, self._workers)
        return (pixels for pixels, _ in loader)

    def _targets(self, samples: Sequence[Sample]) -> Targets:
        return self._task.targets(samples, self.classes)


def _nothing(_: Sequence[Sample]) -> Targets:
    return {}


def input_spec(settings: LineConfig, channels: int, frames: pl.DataFrame) -> InputSpec:
    """How frames of a line become the network's input.

    JPEG is decoded at the smallest size that is no smaller than the input, nor than the plane of
    the statistics: at half the size it takes four fifths of the time, and its pixels are the means
    of 2 x 2 within 0.15 grey levels on average.

    Args:
        settings: The line's.
        channels: Of its frames.
        frames: The snapshot's, with ``width`` and ``height`` in pixels.
    """
    height, width = settings.training.height_px, settings.training.width_px
    spare = pl.min_horizontal(
        pl.col("height") // height,
        pl.col("width") // width,
        pl.max_horizontal("height", "width") // PLANE_PX,
    )
    largest = frames.select(spare.min()).item()
    return InputSpec(
        channels=1 if channels == 1 else 3,
        height=height,
        width=width,
        reduced_decode=next((n for n in _REDUCTIONS if n <= largest), 1),
        max_pixels=settings.ingest.max_pixels,
        min_side_px=settings.ingest.min_side_px,
    )


def open_feed(store: Store, line: LineKey, request: Request, progress: Progress) -> Feed:
    """The feed of a request.

    Raises:
        InvalidInput: when the snapshot has no frame to train on or none to stop by.
    """
    found = artifacts.read(store, line, snapshot.KIND, request.snapshot)
    frames = snapshot.frames(store, line, request.snapshot)
    spec = input_spec(request.settings, int(found.summary["channels"]), frames)
    sources = []
    for role in ("train", "tune"):
        chosen = frames.filter(pl.col("role") == role)
        if role == "train" and not needs_defects(request.settings.task):
            chosen = chosen.filter(pl.col("label") == "good")
        if chosen.is_empty():
            raise InvalidInput(
                f"snapshot {request.snapshot} has no frame of role {role} to learn from: "
                "deliver more labelled frames or change `split`"
            )
        masks = packed_masks(store, line, request.snapshot, chosen, spec, progress)
        sources.append(FrameSource(store, chosen, masks, spec))
    train, tune = sources
    return Feed(train, tune, request.settings, request.threads)


def packed_masks(
    store: Store,
    line: LineKey,
    name: str,
    frames: pl.DataFrame,
    spec: InputSpec,
    progress: Progress,
) -> dict[str, bytes]:
    """Packed masks by frame id, fetched some at a time: unpacked they are as large as frames."""
    ids = frames.filter("has_mask")["frame_id"].to_list()
    packed = {}
    for start in range(0, len(ids), _MASKS_AT_ONCE):
        progress("reading masks", start, len(ids))
        some = snapshot.masks(store, line, name, ids[start : start + _MASKS_AT_ONCE])
        for frame_id, mask in some.items():
            small = pack_mask(mask, spec)
            if small is not None:
                packed[frame_id] = small
    return packed
