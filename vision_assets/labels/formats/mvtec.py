"""Layout ``mvtec``: one category of an MVTec AD like set.

``train/good/000.png``, ``test/<good or defect>/000.png`` and the mask
``ground_truth/<defect>/000_mask.png`` (or ``000.png``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

from vision_assets.labels.formats import painting
from vision_assets.labels.formats.frame import ImportedFrame
from vision_assets.labels.formats.source import Source

_TRUTH = "ground_truth"


def read(source: Source) -> Iterator[ImportedFrame]:
    """Frames below train and test, with the class of their folder and their mask."""
    taken: set[str] = set()
    for file in source.images:
        parts = file.split("/")
        if len(parts) != 3 or parts[0] not in ("train", "test"):
            continue
        label, classes = source.judge([parts[1]])
        mask = _mask(source, parts[1], PurePosixPath(file).stem)
        load = partial(painting.from_file, source.path(mask), parts[1]) if mask else None
        taken.add(mask)
        source.use(file)
        source.use(mask)
        yield ImportedFrame(source.path(file), file, label, classes, load_mask=load)
    for file in source.images:
        if file.startswith(f"{_TRUTH}/") and file not in taken:
            source.fault(file, "is a mask without a frame of that name below train or test")


def _mask(source: Source, name: str, stem: str) -> str:
    candidates = (f"{_TRUTH}/{name}/{stem}{end}" for end in ("_mask.png", ".png"))
    return next((file for file in candidates if file in source.known), "")
