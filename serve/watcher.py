"""Follows the ledger of a line: prepares what stands beside the live release, then swaps.

A release that cannot be prepared is not swapped in: the last good one goes on answering, the fault
is logged, shown by `GetServerInfo` and in the health state, and the release is tried again later.
One that is to blame itself (it fails its golden frames, its engine fails, it is too slow) is given
up, which is entered in the ledger as a fallback. What answers is judged on a thread of its own, so
that one that is loaded takes over even while another is prepared, or the store does not answer.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from serve.fallback import fallback, targets
from serve.frame import IncomingFrame
from serve.given_up import MOST_DEATHS, GivenUp
from serve.guard import Guard
from serve.known import FILE, MEMORY, Known, KnownLedger
from serve.prepare import Preparer
from serve.release import Canary, LiveRelease, LiveSet
from serve.rows import Row
from serve.stand_in import holds_check
from serve.trial import UnfitBundle
from store import batches, ledger
from store.errors import InvalidInput, NotFound, VisionError
from store.keys import LineKey
from store.ledger import MOST_CANARIES, Entry, Scope, Standing
from store.root import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often the ledger is looked at, and a failed release is tried again, seconds."""

    poll_s: float
    retry_s: float
    probation_s: float = 60.0


@dataclass(frozen=True)
class Fallbacks:
    """How this host enters what it gave up: its name, and whether it may enter at all."""

    host: str
    are_recorded: bool = True


def require_line(store: Store, line: LineKey, cache: Path | None = None) -> None:
    """Refuse a line that nobody could mean; nothing is created.

    A store that is there but cannot be read is waited for like any other, as is a known line
    without a release, and any store of a line that was served from this host's `cache` before.

    Raises:
        NotFound: when the store's folder does not exist, or the store knows other lines only.
    """
    if cache is not None and ((cache / MEMORY / FILE).is_file() or holds_check(cache)):
        return
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
    """Holds the releases that answer and replaces them when the ledger names others."""

    def __init__(
        self,
        known: KnownLedger,
        preparer: Preparer,
        guard: Guard,
        given_up: GivenUp,
        pace: Pace,
        fallbacks: Fallbacks,
    ) -> None:
        """Watch a ledger.

        Args:
            known: The ledger.
            preparer: Makes a release ready; called on the watcher's own thread.
            guard: Told how each release does, and says when one is to be given up.
            given_up: The memory of what was given up.
            pace: How often to look.
            fallbacks: How they are recorded.
        """
        self._known, self._preparer, self._pace = known, preparer, pace
        self._guard, self._given_up, self._fallbacks = guard, given_up, fallbacks
        self._set = LiveSet()
        self._lock = threading.Lock()  # held to replace the set
        self._is_due = True
        self._retry_at = self._trusted_at = 0.0
        self._fault = ""
        self._on_look: Callable[[], None] = lambda: None
        self._stopping = threading.Event()
        self._threads = (
            threading.Thread(target=self._watch, name="watcher", daemon=True),
            threading.Thread(target=self._judge_often, name="guard", daemon=True),
        )

    @property
    def fault(self) -> str:
        """Why what stands in the ledger does not answer; empty when it does."""
        return self._fault

    def live(self) -> LiveRelease | None:
        """The release that answers wherever no canary does, or None while there is none."""
        return self._set.live

    def releases(self) -> LiveSet:
        """All that are ready.

        Reading a reference is atomic: a frame that has taken an old release keeps it to its end.
        """
        return self._set

    def choose(self, frame: IncomingFrame) -> LiveRelease | None:
        """The release that answers a frame, or None while there is none."""
        return self._set.choose(frame)

    def instead_of(self, failed: LiveRelease) -> LiveRelease | None:
        """Who answers a frame on which the engine of a release has just failed; counts that."""
        self._guard.failed(failed.number)
        return self._set.instead_of(failed)

    def observe(self, frame: IncomingFrame, row: Row) -> None:
        """Count what a release did; as an observer of the handler."""
        name, decode_ms, engine_ms = row.get("release"), row.get("decode_ms"), row.get("engine_ms")
        if isinstance(decode_ms, float) and isinstance(engine_ms, float):
            number = str(name).rpartition("@")[2]
            if number.isdecimal():
                self._guard.answered(int(number), decode_ms + engine_ms)

    def start(self, on_look: Callable[[], None] = lambda: None) -> None:
        """Look at once, then go on looking in the background.

        Args:
            on_look: Called after each look.
        """
        self._on_look = on_look
        self._given_up.begin()
        self._look_safely()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Look no more; what answers has not ended this process."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._given_up.trust()

    def _watch(self) -> None:
        while not self._stopping.wait(self._pace.poll_s):
            self._look_safely()

    def _look_safely(self) -> None:
        try:
            if self._set.live and time.monotonic() >= self._trusted_at:
                self._given_up.trust()
            is_retry = bool(self._fault) and time.monotonic() >= self._retry_at
            if self._is_due or is_retry or self._known.has_changed():
                self._is_due = False
                self._look()
        except Exception as error:  # noqa: BLE001 - the process edge: the line goes on
            self._show([_told(error, "the ledger cannot be followed")])
        self._on_look()

    def _judge_often(self) -> None:
        while not self._stopping.wait(self._pace.poll_s):
            try:
                self._judge()
            except Exception:  # noqa: BLE001 - the process edge: the line goes on
                _log.exception("releases cannot be judged")

    def _judge(self) -> None:
        """Give up what is over its limits, and let another one answer that is loaded."""
        for release in self._set.answering:
            why = self._guard.verdict(release.number)
            if why and release.number not in self._given_up.why:
                _log.error("release is given up", extra={"release": release.name, "why": why})
                self._given_up.give_up(release.number, why)
                with self._lock:
                    old = self._set
                    self._set = old.without(self._given_up.why)
                self._begin(old)
                self._show([f"{release.name} is given up: {why}"])
                self._is_due = True

    def _look(self) -> None:
        """Make ready what stands, swap, and record what was given up."""
        known = self._known.look()
        faults = [known.fault] if known.fault else []
        stands = ledger.standing(known.believed)
        self._doubt(stands)
        live = self._first_ready(targets(stands, self._given_up.why), faults)
        canaries = tuple(
            Canary(entry.scope or Scope(), release)
            for entry in stands.canaries[:MOST_CANARIES]
            if (release := self._unless_given_up(entry, faults))
        )
        faults += [
            f"canary {entry.release_of(self._known.line)} is one too many: {MOST_CANARIES} answer"
            for entry in stands.canaries[MOST_CANARIES:]
        ]
        shadow = self._unless_given_up(stands.shadow, faults) if stands.shadow else None
        self._swap(LiveSet(live or self._set.live, canaries, shadow), stands)
        faults += self._unfollowed(stands)
        if known.is_current:
            names = {release.bundle.name for release in self._set.answering}
            faults += self._preparer.missing(names)
        self._show(faults)
        if known.is_current and self._fallbacks.are_recorded:
            self._record(known, stands)

    def _doubt(self, stands: Standing) -> None:
        """Give up a release that seems to end the process, if there is one to go back to."""
        live = stands.live
        if live and live.number == self._given_up.suspect and stands.earlier:
            why = f"the server ended {MOST_DEATHS} times in a row soon after taking it"
            _log.error("release is given up", extra={"release": live.number, "why": why})
            self._given_up.give_up(live.number, why)

    def _first_ready(self, entries: list[Entry], faults: list[str]) -> LiveRelease | None:
        for entry in entries:
            if not self._set.live:
                self._given_up.take(entry.number)
            if release := self._ready(entry, faults, self._stopping.is_set):
                return release
        return None

    def _unless_given_up(self, entry: Entry, faults: list[str]) -> LiveRelease | None:
        """What answers beside the live release; making it ready ends when that one is given up."""
        if entry.number in self._given_up.why:
            return None
        return self._ready(entry, faults, lambda: self._stopping.is_set() or self._is_due)

    def _ready(
        self, entry: Entry, faults: list[str], is_stopping: Callable[[], bool]
    ) -> LiveRelease | None:
        """The release of an entry, prepared unless its bundle is loaded; None with a fault."""
        name = entry.release_of(self._known.line)
        for loaded in self._set.loaded:
            if loaded.name == name:
                return loaded
            if loaded.bundle.name == entry.bundle:
                return loaded.renamed(name, entry.number)
        try:
            if self._set.live is None:
                return self._preparer.prepare(entry)
            return self._preparer.prepare_beside(entry, is_stopping)
        except UnfitBundle as error:
            _log.error("release is given up", extra={"release": name, "why": str(error)})
            self._given_up.give_up(entry.number, str(error))
        except Exception as error:  # noqa: BLE001 - the process edge: others can still be ready
            faults.append(_told(error, "release cannot be prepared"))
        return None

    def _swap(self, new: LiveSet, stands: Standing) -> None:
        """Let the new set answer from the next frame on; but nothing given up meanwhile."""
        good = {entry.bundle for entry in stands.earlier}
        good -= {new.live.bundle.name} if new.live else good
        with self._lock:
            old = self._set
            loaded = filter(None, (old.live, old.spare))
            spare = next((each for each in loaded if each.bundle.name in good), None)
            self._set = replace(new, spare=spare).without(self._given_up.why)
        self._begin(old)
        self._guard.keep({release.number for release in self._set.answering})
        if self._set != old:
            self._preparer.prune({release.bundle.name for release in self._set.loaded})

    def _begin(self, old: LiveSet) -> None:
        """Put a live release that is new on probation, and log what answers now."""
        new = self._set
        if new.live and new.live is not old.live:
            self._trusted_at = time.monotonic() + self._pace.probation_s
            self._given_up.take(new.live.number)
        _log_swap(old, new)

    def _unfollowed(self, stands: Standing) -> list[str]:
        """What was given up and stands all the same, because nobody could say so to the store."""
        return [
            f"{entry.release_of(self._known.line)} is given up: {self._given_up.why[entry.number]}"
            for entry in stands.entries
            if entry.number in self._given_up.why
        ]

    def _record(self, known: Known, stands: Standing) -> None:
        """Enter the first fallback that the ledger does not have; the next look enters the next."""
        draft = fallback(stands, self._set, self._given_up.why, self._fallbacks.host)
        if draft is None:
            return
        try:
            entry = self._known.record(draft, known.count)
            _log.warning("fallback is recorded", extra={"entry": entry.number, "why": draft.why})
        except (VisionError, OSError) as error:  # another server was first, or the store is away
            _log.warning("fallback is not recorded", extra={"error": str(error)})

    def _show(self, faults: list[str]) -> None:
        answering = self._set.live.name if self._set.live else "no release"
        fault = f"{'; '.join(dict.fromkeys(faults))} ({answering} answers)" if faults else ""
        if fault and fault != self._fault:
            _log.error("newest release is not live", extra={"fault": fault})
        self._fault = fault
        self._retry_at = time.monotonic() + self._pace.retry_s


def _told(error: Exception, what: str) -> str:
    """An error in words; one that is not ours is in the log, under an id."""
    if isinstance(error, VisionError):
        return str(error)
    if isinstance(error, OSError):
        return f"{what}: {error.filename or ''} {error.strerror}"
    error_id = uuid.uuid4().hex
    _log.error(what, exc_info=error, extra={"error_id": error_id})
    return f"unexpected error {error_id}: look for this id in the server's log"


def _log_swap(old: LiveSet, new: LiveSet) -> None:
    before = {release.name for release in old.answering}
    for release in new.answering:
        if release.name in before:
            continue
        extra = {
            "release": release.name,
            "bundle": release.bundle.name,
            "engine": release.engine,
        }
        if release is new.live:
            replaced = old.live.name if old.live else ""
            _log.info("release is live", extra=extra | {"replaced": replaced})
        else:
            beside = new.live.name if new.live else ""
            _log.info("canary answers its frames", extra=extra | {"beside": beside})
