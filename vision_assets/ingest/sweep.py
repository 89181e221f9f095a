"""Removal of files that killed runs left behind."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from logging import getLogger

from store import documents, layout
from store.batches import BatchManifest
from store.keys import BatchKey
from store.root import Store

_log = getLogger(__name__)

GRACE = timedelta(days=1)


def sweep(store: Store, key: BatchKey, older_than: timedelta = GRACE) -> list[str]:
    """Remove data files of a batch that no manifest lists, and unfinished writes.

    A running ingest writes (or touches) its files before it lists them: `older_than` must be longer
    than any run takes.

    Returns:
        Paths that were removed, sorted.

    Raises:
        ValueError: when `older_than` is negative.
    """
    if older_than < timedelta(0):
        raise ValueError(f"older_than is {older_than}, expected a grace time of zero or more")
    oldest = time.time() - older_than.total_seconds()
    listed = _listed(store, key)
    removed = []
    for folder in (layout.batch(key), layout.batch_manifests(key)):
        for name in _plain_files(store, folder):
            path = f"{folder}/{name}"
            is_ours = folder == layout.batch(key) or name.startswith(".tmp-")
            if is_ours and path not in listed and _is_older(store, path, oldest):
                store.local_path(path).unlink(missing_ok=True)
                removed.append(path)
    _log.info("swept %d files of batch %s", len(removed), key)
    return sorted(removed)


def _listed(store: Store, key: BatchKey) -> set[str]:
    """Paths in any manifest: a reader may still follow an earlier one."""
    found = set()
    folder = layout.batch_manifests(key)
    for number in documents.numbers(store, folder):
        manifest = BatchManifest.from_document(number, documents.read(store, folder, number))
        for file in (*manifest.shards, *manifest.indexes, *manifest.quarantines):
            found.add(file.path)
    return found


def _plain_files(store: Store, folder: str) -> list[str]:
    """Names of files directly in `folder`, unfinished writes among them."""
    try:
        with os.scandir(store.local_path(folder)) as entries:
            return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _is_older(store: Store, path: str, moment: float) -> bool:
    try:
        return store.local_path(path).stat().st_mtime <= moment
    except FileNotFoundError:
        return False
