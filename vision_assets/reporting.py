"""What Dagster shows of a step: progress as log lines, pictures small enough for the event log."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from logging import Logger
from typing import Any

import cv2
import numpy as np

from vision_assets.progress import Progress

# The event log keeps metadata for ever and sends it with every page of the asset.
MOST_PICTURE_BYTES = 100_000
_SECONDS_BETWEEN_LINES = 2.0


def logged(log: Logger) -> Progress:
    """Progress as log lines, at most one every two seconds, and one at each change of phase."""
    state: dict[str, Any] = {"phase": None, "at": 0.0}

    def tell(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what == state["phase"] and now - state["at"] < _SECONDS_BETWEEN_LINES and done != total:
            return
        state.update(phase=what, at=now)
        log.info("%s %s/%s", what, done, total) if total else log.info("%s", what)

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
