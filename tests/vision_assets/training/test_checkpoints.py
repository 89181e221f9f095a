from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from vision_assets.training.checkpoints import DurableCheckpoints, finished_epochs


def _checkpoint(reason: int = EarlyStoppingReason.NOT_STOPPED.value) -> dict[str, object]:
    return {
        "callbacks": {"EarlyStopping{}": {"stopping_reason": reason}, "ModelCheckpoint{}": {}},
        "learnt": {"rows": [{"tune_loss": 1.0}, {"tune_loss": 0.5}]},
    }


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "last.ckpt"
    DurableCheckpoints().save_checkpoint({"a": torch.arange(3), "b": [1.5]}, path)
    DurableCheckpoints().save_checkpoint({"a": torch.arange(4), "b": [2.5]}, path)
    found = DurableCheckpoints().load_checkpoint(path)
    assert found["a"].tolist() == [0, 1, 2, 3]
    assert found["b"] == [2.5]
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    DurableCheckpoints().save_checkpoint({"a": 1}, path)
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        DurableCheckpoints().save_checkpoint({"a": (value for value in [1])}, path)
    assert DurableCheckpoints().load_checkpoint(path) == {"a": 1}


class _Code:
    """Something that is not data."""


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"a": _Code()}, path)
    with pytest.raises(Exception, match="Weights only load failed"):
        DurableCheckpoints().load_checkpoint(path)


def test_removing(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    DurableCheckpoints().save_checkpoint({}, path)
    for _ in range(2):
        DurableCheckpoints().remove_checkpoint(path)
    assert not path.exists()


def test_epochs_and_whether_it_had_stopped(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    assert finished_epochs(path) == (0, False)
    DurableCheckpoints().save_checkpoint(_checkpoint(), path)
    assert finished_epochs(path) == (2, False)
    DurableCheckpoints().save_checkpoint(
        _checkpoint(EarlyStoppingReason.PATIENCE_EXHAUSTED.value), path
    )
    assert finished_epochs(path) == (2, True)
