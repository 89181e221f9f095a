"""A line's model: found when it has been trained already, else trained in a process of its own."""

from __future__ import annotations

import os
import shutil

from store import artifacts
from store.artifacts import Artifact
from store.keys import LineKey
from store.root import Store
from vision_assets.config import LineConfig
from vision_assets.process import follow
from vision_assets.progress import Progress, silent
from vision_assets.training.request import KIND, ask


def train(
    store: Store,
    line: LineKey,
    snapshot: str,
    settings: LineConfig,
    progress: Progress = silent,
) -> Artifact:
    """The model of a snapshot and settings.

    Killed at any instant and asked again, it goes on from the last finished epoch and ends with the
    same weights as an undisturbed run on the same machine.

    Args:
        store: Where everything is.
        line: The line.
        snapshot: Name of the data set.
        settings: The line's settings; `task`, `classes` and `training` matter here.
        progress: Told of epochs and of the steps within.

    Raises:
        InvalidInput: when the task or backbone does not exist, or the snapshot cannot be learnt
            from.
        Unavailable: when the process died; asked again, it resumes.
    """
    threads = len(os.sched_getaffinity(0))
    request = ask(store.url, str(line), snapshot, settings, threads)
    found = artifacts.find(store, line, KIND, request.name)
    if found is None:
        for warning in request.warnings:
            progress(f"warning: {warning}", 0, 0)
        follow("vision_assets.training.fit", [request.model_dump_json()], progress)
        return artifacts.read(store, line, KIND, request.name)
    # A kill between publishing and cleaning up leaves checkpoints that nobody needs.
    work = store.local_path(artifacts.folder(line, KIND, request.name)) / "work"
    shutil.rmtree(work, ignore_errors=True)
    return found
