"""Layout ``masks``: class folders as in ``folders``, each frame with its mask beside it.

``MT_Break/Imgs/a.jpg`` (or bmp, tif) has the mask ``MT_Break/Imgs/a.png``; the mask marks the class
of the folder. A frame may have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from vision_assets.labels.formats import painting
from vision_assets.labels.formats.folders import in_class_folder
from vision_assets.labels.formats.frame import ImportedFrame
from vision_assets.labels.formats.source import Source

_MASK = ".png"


def read(source: Source) -> Iterator[ImportedFrame]:
    """Frames with the class of their folder and the mask beside them."""
    taken: set[str] = set()
    for file in source.images:
        if file.lower().endswith(_MASK):
            continue
        frame = in_class_folder(source, file)
        mask = _mask_beside(source, file)
        if frame and mask:
            taken.add(mask)
            source.use(mask)
            load = partial(painting.from_file, source.path(mask), "".join(frame.classes))
            frame = replace(frame, load_mask=load)
        if frame:
            yield frame
    for file in source.images:
        if file.lower().endswith(_MASK) and file not in taken:
            source.fault(file, "is a mask without a frame: expected a jpg, bmp or tif of that name")


def _mask_beside(source: Source, file: str) -> str:
    stem = str(PurePosixPath(file).with_suffix(""))
    return next((stem + end for end in (_MASK, ".PNG") if stem + end in source.known), "")
