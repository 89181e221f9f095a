"""The state of a training between epochs, safe against a kill at any instant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

LAST = "last.ckpt"
_NOT_STOPPED = EarlyStoppingReason.NOT_STOPPED.value


class DurableCheckpoints(CheckpointIO):
    """Writes a checkpoint beside the old one, syncs it, then puts it in its place.

    Lightning's own goes through the system's folder for temporary files, which may be another disk:
    moving from there is a copy, and a copy can be cut short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        """Replace the checkpoint at `path` by this one."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        written = target.with_suffix(".tmp")
        with open(written, "wb") as stream:
            torch.save(checkpoint, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(written, target)

    def load_checkpoint(
        self, path: str | Path, map_location: object = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint: tensors and plain values, no pickled code."""
        value: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return value

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def finished_epochs(path: Path) -> tuple[int, bool]:
    """Epochs a checkpoint holds, and whether training had decided to stop; (0, False) without one.

    Lightning does not remember that it stopped early: a process killed after its last epoch would
    train one more.
    """
    if not path.is_file():
        return 0, False
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    stopped = any(
        state.get("stopping_reason", _NOT_STOPPED) != _NOT_STOPPED
        for state in checkpoint["callbacks"].values()
    )
    return len(checkpoint["learnt"]["rows"]), stopped
