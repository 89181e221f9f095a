"""How a training frame may differ from the stored one, for a camera that does not move.

Lamps age, parts lie a little askew, focus drifts: brightness, contrast and gamma, small shifts and
turns, light blur and noise. No zoom, no shear, no crop: the line never shows those. Mirrored frames
only when the line's settings say that a mirrored part is still a good part.
"""

from __future__ import annotations

import threading
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_MOST_DEGREES = 5.0
_MOST_SHIFT = 0.03


class Augmentation:
    """Random changes of a frame and its mask; any number of threads may call."""

    def __init__(self, flips: bool) -> None:
        """Prepare.

        Args:
            flips: Whether frames are mirrored left to right and upside down, too.
        """
        self._flips = flips
        self._pipelines = threading.local()

    def __call__(
        self, pixels: Pixels, mask: Pixels | None, seed: int
    ) -> tuple[Pixels, Pixels | None]:
        """The frame (h, w, channels) and its mask (h, w) as `seed` changes them; all uint8."""
        pipeline = self._pipeline()
        # Seeded as a whole, every step would draw the same numbers: mirrored both ways or neither.
        seeds = np.random.default_rng(seed).integers(2**31, size=len(pipeline.transforms))
        for step, own_seed in zip(pipeline.transforms, seeds.tolist(), strict=True):
            step.set_random_seed(own_seed)
        # An empty mask stays empty whatever is done to it; most frames have one.
        if mask is None or not mask.any():
            return pipeline(image=pixels)["image"], mask
        changed = pipeline(image=pixels, mask=mask)
        return changed["image"], changed["mask"]

    def _pipeline(self) -> Any:  # noqa: ANN401 - albumentations is untyped
        """This thread's own: a pipeline holds the state of its random numbers."""
        if not hasattr(self._pipelines, "mine"):
            self._pipelines.mine = _pipeline(self._flips)
        return self._pipelines.mine


def _pipeline(flips: bool) -> Any:  # noqa: ANN401
    mirrors = [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)] if flips else []
    return A.Compose(
        [
            *mirrors,
            A.Affine(
                translate_percent=(-_MOST_SHIFT, _MOST_SHIFT),
                rotate=(-_MOST_DEGREES, _MOST_DEGREES),
                scale=1.0,
                shear=0.0,
                border_mode=cv2.BORDER_REFLECT_101,
                p=0.6,
            ),
            # Relative to the frame's own mean: a dark frame must not go black.
            A.RandomBrightnessContrast(0.2, 0.2, brightness_by_max=False, p=0.7),
            A.RandomGamma(gamma_limit=(80, 125), p=0.3),
            A.OneOf(
                [
                    A.GaussianBlur(blur_limit=(3, 3)),
                    A.GaussNoise(std_range=(0.005, 0.03)),
                ],
                p=0.25,
            ),
        ]
    )
