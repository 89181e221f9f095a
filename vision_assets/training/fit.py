"""The process that trains: ``python -m vision_assets.training.fit REQUEST``.

`train.train` starts and follows it. REQUEST is a JSON document, see `Request`.
"""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from store import artifacts
from store.keys import LineKey
from store.root import Store
from vision_assets.config import TrainingSettings
from vision_assets.learning import backbone, pretrained
from vision_assets.learning.registry import task
from vision_assets.process import report
from vision_assets.progress import Progress
from vision_assets.training.checkpoints import LAST, DurableCheckpoints, finished_epochs
from vision_assets.training.device import prepare_torch, trainer_options
from vision_assets.training.feed import Feed, open_feed
from vision_assets.training.module import LearningModule
from vision_assets.training.request import KIND, Request
from vision_assets.training.result import publish
from vision_assets.training.source import FrameSource

_SECONDS_BETWEEN_REPORTS = 1.0


def fit(request: Request, progress: Progress) -> str:
    """Train, or go on training, and publish the model.

    Returns:
        The model's name.

    Raises:
        InvalidInput: when the snapshot cannot be learnt from.
    """
    store, line = Store(request.store), LineKey.parse(request.line)
    prepare_torch(request.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    feed = open_feed(store, line, request, progress)
    module = _module(request, feed)
    work = work_folder(store, line, request.name)
    if module.learns:
        trainer, checkpoint = _trainer(request.settings.training, feed, work, progress)
        resumed = str(checkpoint) if checkpoint.is_file() else None
        trainer.fit(module, ckpt_path=resumed, weights_only=True)
    network = module.kept()
    good, held_out = (partial(_told, feed, role, progress) for role in (feed.train, feed.tune))
    task(request.settings.task).finalise(network, good, held_out)
    progress("writing the model", 0, 0)
    publish(store, line, request, module, feed)
    shutil.rmtree(work, ignore_errors=True)
    return request.name


def _told(feed: Feed, role: FrameSource, progress: Progress) -> Iterator[Tensor]:
    """The good frames of a role, telling how many have been seen."""
    seen, total = 0, sum(not bad for bad in role.is_defective)
    for batch in feed.good_frames(role):
        progress("looking at good frames", seen, total)
        yield batch
        seen += len(batch)


def work_folder(store: Store, line: LineKey, name: str) -> Path:
    """Where checkpoints lie until the model is published."""
    return store.local_path(artifacts.folder(line, KIND, name)) / "work"


def _module(request: Request, feed: Feed) -> LearningModule:
    settings = request.settings.training
    torch.manual_seed(settings.seed)
    chosen = task(request.settings.task)
    size = settings.height_px, settings.width_px
    if request.backbone:
        body = pretrained.load(Path(request.backbone), *size)
    else:
        body = backbone.build(backbone.from_scratch(feed.spec.channels), *size)
    network = chosen.network(body, feed.classes)
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    return LearningModule(
        chosen, network, settings, feed.train_loader, feed.tune_loader, feed.tune_can_judge
    )


def _trainer(
    settings: TrainingSettings, feed: Feed, work: Path, progress: Progress
) -> tuple[lightning.Trainer, Path]:
    """A trainer and where its checkpoint is."""
    checkpoint = work / LAST
    done, stopped = finished_epochs(checkpoint)
    callbacks: list[Callback] = [_Teller(progress, settings.epochs)]
    if feed.tune_can_judge:
        callbacks.append(EarlyStopping("tune_loss", patience=settings.patience))
    callbacks.append(
        ModelCheckpoint(
            work, checkpoint.stem, save_on_train_epoch_end=True, enable_version_counter=False
        )
    )
    trainer = lightning.Trainer(
        **trainer_options(),
        devices=1,
        max_epochs=done if stopped else settings.epochs,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        gradient_clip_val=5.0,
        callbacks=callbacks,
        plugins=[DurableCheckpoints()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=work,
    )
    return trainer, checkpoint


class _Teller(Callback):
    """Tells of every epoch, and at most once a second of the steps within."""

    def __init__(self, progress: Progress, epochs: int) -> None:
        self._progress = progress
        self._epochs = epochs
        self._at = 0.0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object
    ) -> None:
        if time.monotonic() - self._at >= _SECONDS_BETWEEN_REPORTS:
            self._tell(trainer, pl_module)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._tell(trainer, pl_module)

    def _tell(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        assert isinstance(module, LearningModule)
        self._at = time.monotonic()
        epoch = min(trainer.current_epoch + 1, self._epochs)
        what = f"epoch {epoch}/{self._epochs}"
        if module.rows:
            what += f" tune loss {module.rows[-1]['tune_loss']:.3f}"
        steps = int(trainer.num_training_batches)
        self._progress(what, trainer.global_step, self._epochs * steps)


def main(arguments: list[str]) -> int:
    """Do what a request asks for; the exit status."""
    (document,) = arguments
    return report(lambda progress: fit(Request.model_validate_json(document), progress))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
