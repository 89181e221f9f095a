"""Layout ``folders``: the folder of a frame names its class.

``good/a.png``, ``scratch/b.png``, at any depth: ``day1/MT_Break/Imgs/c.jpg``. The nearest folder
that is no holder (images, imgs, frames, …) and no split (train, test, …) names the class.
"""

from __future__ import annotations

from collections.abc import Iterator

from vision_assets.labels.formats import naming
from vision_assets.labels.formats.frame import ImportedFrame
from vision_assets.labels.formats.source import Source


def read(source: Source) -> Iterator[ImportedFrame]:
    """Frames with the class of their folder."""
    for file in source.images:
        if frame := in_class_folder(source, file):
            yield frame


def in_class_folder(source: Source, file: str) -> ImportedFrame | None:
    """A frame labelled by its folder; None, and a fault, when no folder says what it is."""
    name = naming.class_folder(file)
    if not name:
        source.fault(file, "lies in no class folder; expected good/… or a folder named as a defect")
        return None
    label, classes = source.judge([name])
    above = [part for part in naming.folders(file) if naming.is_good(part, source.good)]
    if label == "defect" and above:
        source.fault(file, f"lies in {above[0]} and in {name}: is it good or of class {name}?")
        return None
    source.use(file)
    return ImportedFrame(source.path(file), file, label, classes)
