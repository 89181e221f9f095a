"""Makes a release ready: fetch, verify, choose the engine, warm it up."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Set
from datetime import UTC, datetime
from pathlib import Path

from inspection.bundle import KIND, LISTING, Bundle, fetch, open_folder
from inspection.choose import choose, chosen, replay
from inspection.contract import Contract
from inspection.engines.engine import Engine, open_engine
from inspection.inspector import FrameContext, Inspector
from serve.known import MEMORY
from serve.release import LiveRelease
from serve.remembered import Remembered
from serve.settings import Settings
from serve.trial import Tried, UnfitBundle, Wanted, is_unfit, try_bundle
from store import artifacts
from store.errors import Corrupt, NotFound, Unavailable
from store.hashing import sha256
from store.keys import LineKey
from store.ledger import Entry
from store.root import Store

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{32}")
_SHOWN = 100
_REST = 3
"""Beside a release that answers, a golden frame is followed by this many times its own time."""


class Preparer:
    """Prepares the releases of one line in one local cache."""

    def __init__(self, store: Store, line: LineKey, settings: Settings) -> None:
        self._store, self._line, self._settings = store, line, settings
        self._cache = settings.cache_folder(line)
        self._remembered = Remembered(self._cache / MEMORY)

    def prepare(self, entry: Entry) -> LiveRelease:
        """The release of a ledger entry, ready to answer, while no frame is being answered.

        Its files are verified against their hashes; the engine is the fastest one here that has
        passed its parity evidence and reproduces the golden frames.

        Raises:
            NotFound: when the bundle does not exist.
            Corrupt: when a file is not what its manifest states.
            Refused: when the bundle has no golden frames.
            UnfitBundle: when no engine may answer and the bundle is to blame.
            Unavailable: when no engine that may answer is installed.
        """
        bundle = self._bundle(entry.bundle)
        release = self._release(entry, bundle, self._choose(bundle))
        _warm(release, self._settings.workers)
        return release

    def prepare_beside(self, entry: Entry, is_stopping: Callable[[], bool]) -> LiveRelease:
        """The same while frames are being answered: a process of its own finds the engine.

        Only that engine is opened here (see `serve.trial`).

        Args:
            entry: Whose bundle.
            is_stopping: Looked at while the process runs.

        Raises:
            VisionError: as `prepare`.
        """
        bundle = self._bundle(entry.bundle)
        wanted = Wanted(self._settings.engines, self._remembered.of(bundle.name))
        tried = try_bundle(bundle.folder, is_stopping, wanted)
        return self._release(entry, bundle, self._open(bundle, tried))

    def prune(self, in_use: Set[str]) -> None:
        """Delete the bundles that were used the longest time ago, but none of these.

        What is no bundle is somebody else's, and stays.
        """
        folders = [path for path in self._cache.iterdir() if _is_bundle(path)]
        folders.sort(key=lambda path: (path.name in in_use, path.stat().st_mtime), reverse=True)
        keep = max(self._settings.cached_bundles, len(in_use))
        for old in folders[keep:]:
            shutil.rmtree(old, ignore_errors=True)

    def missing(self, names: Set[str]) -> list[str]:
        """Which of these bundles the store, which can be reached, does not have, in words."""
        return [
            f"bundle {name} is not in the store {self._store.url}: this host's copy answers; "
            "restore it from a backup, or promote another one"
            for name in sorted(names)
            if not self._store.exists(
                f"{artifacts.folder(self._line, KIND, name)}/{artifacts.MANIFEST}"
            )
        ]

    def _bundle(self, name: str) -> Bundle:
        """The verified bundle; the copy that is here when the store cannot be reached."""
        if not _NAME.fullmatch(name):  # it becomes the name of a folder here
            raise Corrupt(
                f"the ledger of line {self._line} names the bundle {name[:_SHOWN]!r}, expected 32 "
                "hexadecimal digits: promote a bundle"
            )
        try:
            bundle = fetch(self._store, self._line, name, self._cache)
        except (OSError, NotFound) as error:
            if not (self._cache / name).is_dir():
                raise
            _log.warning("bundle taken from the cache", extra={"bundle": name, "why": str(error)})
            bundle = open_folder(self._cache / name)
            if bundle.name != name:
                raise Corrupt(
                    f"{bundle.folder} holds bundle {bundle.name}, not the one of that name: delete "
                    "the folder, and let the server reach the store"
                ) from error
        os.utime(bundle.folder)
        return bundle

    def _release(self, entry: Entry, bundle: Bundle, engine: Engine) -> LiveRelease:
        self._remembered.keep(bundle.name, chosen(engine))
        contract = _limited(bundle.contract, self._settings.max_pixels)
        return LiveRelease(
            name=entry.release_of(self._line),
            number=entry.number,
            bundle=bundle,
            inspector=Inspector(contract, bundle.rule, engine),
            graph_hash=sha256(bundle.graph_path(engine.graph).read_bytes()),
            since=datetime.now(UTC),
        )

    def _choose(self, bundle: Bundle) -> Engine:
        try:
            choice = choose(
                bundle,
                threads=1,
                streams=self._settings.workers,
                engines=self._settings.engines or None,
                before=self._remembered.of(bundle.name),
            )
        except Unavailable as error:
            is_its_fault = is_unfit(bundle, self._settings.engines)
            raise (UnfitBundle if is_its_fault else Unavailable)(str(error)) from error
        engine = choice.engine
        tried = Tried(
            engine.name, engine.graph, choice.latency_ms, tuple(map(str, choice.rejected))
        )
        _log_choice(bundle, tried, engine)
        return engine

    def _open(self, bundle: Bundle, tried: Tried) -> Engine:
        """The engine that was found, opened here and shown to give the same answers here."""
        engine = open_engine(
            tried.engine, bundle.folder, tried.graph, threads=1, streams=self._settings.workers
        )
        (proof,) = (
            row
            for row in bundle.evidence()
            if (row.engine, row.graph) == (tried.engine, tried.graph)
        )
        inspector = Inspector(bundle.contract, bundle.rule, engine)
        for golden in bundle.golden():
            started = time.perf_counter()
            if faults := replay(inspector, [golden], proof):
                raise UnfitBundle(f"bundle {bundle.name}: {'; '.join(faults)}")
            time.sleep(_REST * (time.perf_counter() - started))
        _log_choice(bundle, tried, engine)
        return engine


def _is_bundle(path: Path) -> bool:
    return bool(_NAME.fullmatch(path.name)) and (path / LISTING).is_file()


def _limited(contract: Contract, max_pixels: int) -> Contract:
    """The contract with the stricter of its own and the server's limit of pixels."""
    limit = min(contract.input.max_pixels, max_pixels)
    spec = contract.input.model_copy(update={"max_pixels": limit})
    return contract.model_copy(update={"input": spec})


def _warm(release: LiveRelease, workers: int) -> None:
    """Run the golden frames with all workers at once, so that no line frame pays for first uses."""
    frames = (
        (golden.frame_id, golden.data, FrameContext(golden.camera, golden.product))
        for golden in release.bundle.golden()
    )
    for _ in release.inspector.inspect_many(frames, batch_size=1, workers=workers):
        pass


def _log_choice(bundle: Bundle, tried: Tried, engine: Engine) -> None:
    _log.info(
        "engine chosen",
        extra={
            "bundle": bundle.name,
            "engine": tried.engine,
            "graph": tried.graph,
            "build": engine.build,
            "latency_ms": round(tried.latency_ms, 3),
            "rejected": list(tried.rejected),
        },
    )
