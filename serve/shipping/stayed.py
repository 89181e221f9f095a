"""Kept frames that stay on the host, by reason: told by the shipping process, read by the server.

``{kept}/stayed.json`` counts them since the folder was begun; it may be lost.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson

FILE = "stayed.json"

REASONS = ("no_camera", "unknown_camera", "unknown_product", "unreadable")
"""Ingest would refuse the frame: it names no camera and the line has several, or one or a product
that the line's settings do not list, or nobody can read its bytes."""


def counts(kept: Path) -> dict[str, int]:
    """How many frames have stayed, for every one of `REASONS`."""
    found: object = None
    with suppress(OSError, ValueError):
        found = orjson.loads((kept / FILE).read_bytes())
    told = found if isinstance(found, dict) else {}
    return {why: n if type(n := told.get(why)) is int else 0 for why in REASONS}


def add(kept: Path, more: Mapping[str, int]) -> None:
    """Count further ones; a disk that is full keeps them from being counted, nothing else."""
    total = {why: count + more.get(why, 0) for why, count in counts(kept).items()}
    with suppress(OSError):
        (kept / f"{FILE}.tmp").write_bytes(orjson.dumps(total))
        os.replace(kept / f"{FILE}.tmp", kept / FILE)
