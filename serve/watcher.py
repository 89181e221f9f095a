"""Follows the ledger of a line: prepares the newest release beside the live one, then swaps.

A release that cannot be prepared is not swapped in: the last good one goes on answering, the fault
is logged, shown by `GetServerInfo` and in the health state, and the release is tried again later.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from serve.release import LiveRelease
from store import batches, documents, layout, ledger
from store.errors import InvalidInput, NotFound, VisionError
from store.keys import LineKey
from store.ledger import Entry
from store.root import Store

_log = logging.getLogger(__name__)

Prepare = Callable[[Entry], LiveRelease]


@dataclass(frozen=True)
class Pace:
    """How often the ledger is looked at, and a failed release is tried again, seconds."""

    poll_s: float
    retry_s: float


def require_line(store: Store, line: LineKey) -> None:
    """Refuse a line that nobody could mean; nothing is created.

    A store that is there but cannot be read is waited for like any other, as is a known line
    without a release.

    Raises:
        NotFound: when the store's folder does not exist, or the store knows other lines only.
    """
    try:
        is_there, known = store.exists(""), batches.lines(store)
    except (OSError, InvalidInput) as error:
        _log.warning("store cannot be read", extra={"store": store.url, "error": str(error)})
        return
    if not is_there:
        raise NotFound(
            f"the store {store.url} does not exist: give the folder that `vision-assets` writes, "
            "such as --store .vision/store"
        )
    if line not in known:
        lines = ", ".join(map(str, known)) or "no line yet"
        raise NotFound(f"the store {store.url} does not know line {line}; it has {lines}")


class Watcher:
    """Holds the release that answers and replaces it when the ledger names another."""

    def __init__(
        self,
        store: Store,
        line: LineKey,
        prepare: Prepare,
        pace: Pace,
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        """Watch the ledger of `line`.

        Args:
            store: Where the ledger is.
            line: Whose ledger.
            prepare: Makes a release ready, or raises; called on the watcher's own thread.
            pace: How often to look.
            on_look: Called after each look.
        """
        self._store, self._line = store, line
        self._prepare, self._pace, self._on_look = prepare, pace, on_look
        self._release: LiveRelease | None = None
        self._seen = -1  # entries in the ledger when it was last read
        self._retry_at = 0.0
        self._fault = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    @property
    def fault(self) -> str:
        """Why the newest release does not answer; empty when it does."""
        return self._fault

    def live(self) -> LiveRelease | None:
        """The release that answers, or None while there is none.

        Reading a reference is atomic: a frame that has taken the old release keeps it to its end.
        """
        return self._release

    def start(self) -> None:
        """Look at once, then go on looking in the background."""
        self._look_safely()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(self._pace.poll_s):
            self._look_safely()

    def _look_safely(self) -> None:
        try:
            self._look()
        except VisionError as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(f"the store {self._store.url} cannot be read: {error.strerror}")
        except Exception:  # noqa: BLE001 - the process edge: the line goes on with what it has
            error_id = uuid.uuid4().hex
            _log.exception("release cannot be prepared", extra={"error_id": error_id})
            self._fail(f"unexpected error {error_id}: look for this id in the server's log")
        self._on_look()

    def _look(self) -> None:
        """Swap when the ledger names another release than the one that answers."""
        count = len(documents.numbers(self._store, layout.releases(self._line)))
        is_retry = bool(self._fault) and time.monotonic() >= self._retry_at
        if count == self._seen and not is_retry:
            return
        self._seen = count
        newest = ledger.live(ledger.entries(self._store, self._line))
        if newest is None or (self._release and newest.number < self._release.number):
            raise NotFound(
                f"the ledger of line {self._line} in {self._store.url} has {count} entries: check "
                "that the store can be reached, or promote a bundle"
            )
        if self._release is None or newest.number != self._release.number:
            self._swap(newest)
        self._fault = ""

    def _swap(self, newest: Entry) -> None:
        name, old = newest.release_of(self._line), self._release
        if old is not None and old.bundle.name == newest.bundle:
            self._release = old.renamed(name, newest.number)
        else:
            self._release = self._prepare(newest)
        _log.info(
            "release is live",
            extra={
                "release": name,
                "bundle": newest.bundle,
                "engine": self._release.engine,
                "replaced": old.name if old else "",
            },
        )

    def _fail(self, message: str) -> None:
        answering = self._release.name if self._release else "nothing"
        fault = f"{message} ({answering} answers)"
        if fault != self._fault:
            _log.error("newest release is not live", extra={"fault": fault})
        self._fault = fault
        self._retry_at = time.monotonic() + self._pace.retry_s
