"""All layouts by the name that the command line takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from store.errors import InvalidInput
from vision_assets.labels.formats import coco, csv_table, folders, masks, mvtec, voc, yolo
from vision_assets.labels.formats.frame import ImportedFrame
from vision_assets.labels.formats.source import Source


@dataclass(frozen=True)
class Layout:
    """How one layout is read.

    Attributes:
        read: Gives frames in order of capture and notes faults in the source.
        file_suffix: Suffix of the one file that may be given instead of a folder, if any.
    """

    read: Callable[[Source], Iterator[ImportedFrame]]
    file_suffix: str = ""


LAYOUTS: Mapping[str, Layout] = {
    "folders": Layout(folders.read),
    "masks": Layout(masks.read),
    "mvtec": Layout(mvtec.read),
    "coco": Layout(coco.read, ".json"),
    "voc": Layout(voc.read),
    "yolo": Layout(yolo.read),
    "csv": Layout(csv_table.read, ".csv"),
}


def layout_for(name: str, path: Path) -> Layout:
    """The layout of that name, checked to take what `path` is.

    Raises:
        InvalidInput: for an unknown name, with the known ones; for a file where a folder is needed.
    """
    if name not in LAYOUTS:
        raise InvalidInput(f"layout {name!r} is not known; expected one of {', '.join(LAYOUTS)}")
    layout = LAYOUTS[name]
    if path.is_file() and path.suffix.lower() != (layout.file_suffix or None):
        instead = f" or one {layout.file_suffix} file" if layout.file_suffix else ""
        raise InvalidInput(f"{path} is a file; layout {name} reads a folder{instead}")
    return layout
