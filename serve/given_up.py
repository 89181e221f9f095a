"""Which releases this host has given up, and which have ended its process: kept over restarts.

A native library that crashes takes the process along, so that nobody is left to count. What is
taken is therefore written down first; a start that finds it still there counts one death. A release
that has answered for a while is not suspected any more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from store.errors import NotFound
from store.root import Store

_log = logging.getLogger(__name__)

FILE = "given-up.json"
MOST_DEATHS = 3
"""As many starts in a row that ended soon after taking a release make it suspect: one may be a
power cut and two may be somebody's `kill -9`."""


class _Kept(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="ignore")

    why: dict[int, str] = Field(default_factory=dict)
    taken: int = 0
    deaths: int = 0


class GivenUp:
    """The memory of one line on one host; a file that cannot be written costs the memory only.

    Safe to call from several threads.
    """

    def __init__(self, folder: Path) -> None:
        """Keep it in `folder`."""
        self._place = Store(str(folder))
        self._kept = _Kept()
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Read what an earlier process left, and count its death if it died."""
        self._kept = self._read()
        if self._kept.taken:
            self._kept.deaths += 1
            self._write()

    @property
    def why(self) -> Mapping[int, str]:
        """The reason by number of the entry."""
        return self._kept.why

    @property
    def suspect(self) -> int:
        """The entry whose bundle seems to end the process; 0 when there is none."""
        return self._kept.taken if self._kept.deaths >= MOST_DEATHS else 0

    def give_up(self, number: int, why: str) -> None:
        """Take this entry's bundle no more; a further entry that names it is another matter."""
        with self._lock:
            if number not in self._kept.why:
                self._kept.why[number] = why
                self._write()

    def take(self, number: int) -> None:
        """Before an entry's bundle is prepared, or answers for the first time."""
        with self._lock:
            if self._kept.taken != number:
                self._kept.taken, self._kept.deaths = number, 0
                self._write()

    def trust(self) -> None:
        """What was taken has answered long enough, or the process ends in order."""
        with self._lock:
            if self._kept.taken:
                self._kept.taken = self._kept.deaths = 0
                self._write()

    def _read(self) -> _Kept:
        try:
            return _Kept.model_validate_json(self._place.read(FILE))
        except NotFound:
            return _Kept()
        except (OSError, ValidationError) as error:
            extra = {"file": f"{self._place.url}/{FILE}", "error": str(error)}
            _log.error("what was given up is not known any more", extra=extra)
            return _Kept()

    def _write(self) -> None:
        try:
            self._place.write(FILE, self._kept.model_dump_json().encode())
        except OSError as error:
            extra = {"file": f"{self._place.url}/{FILE}", "error": str(error)}
            _log.error("what was given up cannot be kept", extra=extra)
