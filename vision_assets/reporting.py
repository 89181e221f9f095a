"""What Dagster shows of a step: progress as log lines, pictures small enough for the event log."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from logging import Logger

import cv2
import numpy as np

from vision_assets.pace import Pace
from vision_assets.progress import Progress

# The event log keeps metadata for ever and sends it with every page of the asset.
MOST_PICTURE_BYTES = 100_000


def logged(log: Logger) -> Progress:
    """Progress as log lines, no more of them than `Pace` lets through."""
    pace = Pace()

    def tell(what: str, done: int, total: int) -> None:
        line = pace(what, done, total)
        if line is not None:
            log.info("%s", line)

    return tell


def picture(png: bytes, title: str = "") -> str:
    """Markdown that shows a PNG in Dagster's UI, made smaller until it fits the event log."""
    while len(png) > MOST_PICTURE_BYTES:
        image = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR))
        smaller = cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
        png = cv2.imencode(".png", smaller)[1].tobytes()
    return f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"


def table(rows: Mapping[str, object]) -> str:
    """A two-column Markdown table.

    >>> print(table({"frames": 3}))
    | | |
    |---|---|
    | frames | 3 |
    """
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines)
