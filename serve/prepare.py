"""Makes a release ready beside the live one: fetch, verify, choose the engine, warm it up."""

from __future__ import annotations

import logging
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from inspection.bundle import Bundle, fetch
from inspection.choose import Choice, choose
from inspection.contract import Contract
from inspection.inspector import FrameContext, Inspector
from serve.release import LiveRelease
from serve.settings import Settings
from store.hashing import sha256
from store.keys import LineKey
from store.ledger import Entry
from store.root import Store

_log = logging.getLogger(__name__)


class Preparer:
    """Prepares the releases of one line in one local cache."""

    def __init__(self, store: Store, line: LineKey, settings: Settings) -> None:
        self._store, self._line, self._settings = store, line, settings
        self._cache = settings.cache_folder(line)

    def prepare(self, entry: Entry) -> LiveRelease:
        """The release of a ledger entry, ready to answer.

        Its files are verified against their hashes; the engine is the fastest one here that has
        passed its parity evidence and reproduces the golden frames.

        Raises:
            NotFound: when the bundle does not exist.
            Corrupt: when a file is not what its manifest states.
            Refused: when the bundle has no golden frames.
            Unavailable: when no engine may answer.
        """
        settings = self._settings
        bundle = fetch(self._store, self._line, entry.bundle, self._cache)
        os.utime(bundle.folder)
        choice = choose(bundle, threads=1, streams=settings.workers)
        _log_choice(bundle, choice)
        contract = _limited(bundle.contract, settings.max_pixels)
        release = LiveRelease(
            name=entry.release_of(self._line),
            number=entry.number,
            bundle=bundle,
            inspector=Inspector(contract, bundle.rule, choice.engine),
            graph_hash=sha256(bundle.graph_path(choice.engine.graph).read_bytes()),
            since=datetime.now(UTC),
        )
        _warm(release, settings.workers)
        _prune(self._cache, settings.cached_bundles)
        return release


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


def _prune(cache: Path, keep: int) -> None:
    """Delete the bundles that were used the longest time ago."""
    folders = [path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for old in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)[keep:]:
        shutil.rmtree(old, ignore_errors=True)


def _log_choice(bundle: Bundle, choice: Choice) -> None:
    _log.info(
        "engine chosen",
        extra={
            "bundle": bundle.name,
            "engine": choice.engine.name,
            "graph": choice.engine.graph,
            "build": choice.engine.build,
            "latency_ms": round(choice.latency_ms, 3),
            "rejected": [str(rejection) for rejection in choice.rejected],
        },
    )
