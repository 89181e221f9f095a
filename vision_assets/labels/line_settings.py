"""What an import makes of a line's settings: new ones, or the present ones with names added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vision_assets.config import IngestSettings, LineConfig

DEFAULT_CAMERA = "camera-1"


@dataclass(frozen=True)
class Found:
    """What a data set names and holds, in the order in which it should appear.

    Attributes:
        classes: Defect classes.
        cameras: Cameras of all frames, `DEFAULT_CAMERA` where the data set names none.
        products: Products.
        channels: How many frames have 1 and 3 channels.
    """

    classes: Sequence[str]
    cameras: Sequence[str]
    products: Sequence[str]
    channels: Mapping[int, int]


def made(found: Found) -> tuple[LineConfig, list[str]]:
    """Settings for a line that has none, and statements of what they hold.

    Channels are fixed when all frames agree; cameras and products when it names them.
    """
    channels = _agreed(found.channels)
    cameras = () if list(found.cameras) == [DEFAULT_CAMERA] else tuple(found.cameras)
    settings = LineConfig(
        classes=tuple(found.classes),
        cameras=cameras,
        products=tuple(found.products),
        ingest=IngestSettings(channels=channels),
    )
    classes = ", ".join(found.classes) or "none, only good and defect"
    said = [f"settings made: classes {classes}; channels {channels or 'not checked'}"]
    if channels is None and found.channels:
        grey, colour = found.channels.get(1, 0), found.channels.get(3, 0)
        said.append(
            f"{grey} frames are grey and {colour} colour: one model takes one kind; set "
            "ingest.channels to put the others aside"
        )
    return settings, said


def merged(present: LineConfig, found: Found) -> tuple[LineConfig, list[str]]:
    """The present settings with new classes, cameras and products added, and what was added.

    Nothing is taken away or reordered. A line that lists no cameras (or products) takes any, so
    none are added there.
    """
    said = []
    changes: dict[str, tuple[str, ...]] = {}
    for name, names in (
        ("classes", found.classes),
        ("cameras", found.cameras if present.cameras else ()),
        ("products", found.products if present.products else ()),
    ):
        known: tuple[str, ...] = getattr(present, name)
        new = tuple(value for value in names if value not in known)
        if new:
            changes[name] = (*known, *new)
            said.append(f"{name} added to the settings: {', '.join(new)}")
    limit = present.ingest.channels
    others = sum(count for channels, count in found.channels.items() if channels != limit)
    if limit is not None and others:
        said.append(
            f"{others} frames do not have the {limit} channel(s) that the settings ask for: ingest "
            "will put them aside"
        )
    return present.model_copy(update=changes), said


def _agreed(channels: Mapping[int, int]) -> Literal[1, 3] | None:
    present = set(Counter(channels).elements())
    if present == {1}:
        return 1
    return 3 if present == {3} else None
