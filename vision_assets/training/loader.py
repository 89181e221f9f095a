"""Batches made by threads, in an order that does not depend on them.

Decoding and augmentation run in OpenCV, which lets other threads run meanwhile; threads share the
decoded frames and start at once (`docs/decisions/0005-classifier.md`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import cv2
import numpy as np
import torch
from torch import Tensor

from vision_assets.learning.task import Sample, Targets

Batch = tuple[Tensor, Targets]
"""Pixels (N, h, w, channels) uint8, and what is learnt from them."""


class Loader:
    """One pass over a sequence of samples."""

    def __init__(
        self,
        sample: Callable[[int], Sample],
        targets: Callable[[Sequence[Sample]], Targets],
        length: int,
        batch_size: int,
        workers: int,
    ) -> None:
        """Say what to load.

        Args:
            sample: Makes the sample of a position in [0, length); called in any thread.
            targets: What is learnt from a batch.
            length: Number of samples.
            batch_size: The last batch may be smaller.
            workers: Threads.
        """
        self._sample = sample
        self._targets = targets
        self._length = length
        self._batch_size = batch_size
        self._workers = workers

    def __len__(self) -> int:
        return -(-self._length // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # One thread a frame: OpenCV's own would compete with the loader's and with torch's.
        cv2.setNumThreads(0)
        pending: deque[Future[Batch]] = deque()
        starts = iter(range(0, self._length, self._batch_size))
        with ThreadPoolExecutor(self._workers, "loader") as pool:
            try:
                for start in islice(starts, self._workers + 1):
                    pending.append(pool.submit(self._batch, start))
                while pending:
                    batch = pending.popleft().result()
                    for start in islice(starts, 1):
                        pending.append(pool.submit(self._batch, start))
                    yield batch
            finally:
                for future in pending:
                    future.cancel()

    def _batch(self, start: int) -> Batch:
        stop = min(start + self._batch_size, self._length)
        samples = [self._sample(position) for position in range(start, stop)]
        pixels = torch.from_numpy(np.stack([sample.pixels for sample in samples]))
        return pixels, self._targets(samples)
