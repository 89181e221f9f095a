"""What Lightning trains: a task's network, its running average and the best of it so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from store.errors import InvalidInput
from vision_assets.config import TrainingSettings
from vision_assets.learning.task import Network, Task
from vision_assets.training.loader import Batch, Loader

Row = dict[str, float]

_AVERAGE_DECAY = 0.995
_WARM_UP_SHARE = 0.05
_LAST_RATE = 0.01
_PRETRAINED_RATE = 0.2


class LearningModule(lightning.LightningModule):
    """Trains the network; judges and keeps the average of its weights.

    Attributes:
        rows: One row of figures per finished epoch.
        best: Weights of the average at the epoch with the lowest tune loss; at the last epoch when
            the role `tune` cannot judge, having only good or only defective frames.
        kept_epoch: Which epoch that was, from 1.
    """

    def __init__(
        self,
        task: Task,
        network: Network,
        settings: TrainingSettings,
        train_loader: Callable[[int], Loader],
        tune_loader: Callable[[], Loader],
        tune_can_judge: bool,
    ) -> None:
        """Put everything together; `train_loader` gives the loader of an epoch."""
        super().__init__()
        self.task = task
        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=move_average, use_buffers=True)
        self.settings = settings
        self.rows: list[Row] = []
        self.best: dict[str, Tensor] = {}
        self.kept_epoch = 0
        self._train_loader = train_loader
        self._tune_loader = tune_loader
        self._tune_can_judge = tune_can_judge
        self._sums: Row = {}
        self._tuned: list[tuple[float, float, float]] = []
        self._started = 0.0

    @property
    def learns(self) -> bool:
        """Whether gradients have anything to change."""
        return any(parameter.requires_grad for parameter in self.network.parameters())

    def kept(self) -> Network:
        """The network on the CPU, with the best weights when it has learnt any.

        Raises:
            InvalidInput: when training diverged: no epoch had a finite loss.
        """
        if self.learns and not self.best:
            raise InvalidInput(
                "training diverged in its first epoch: lower `training.learning_rate`"
            )
        network = self.network.cpu().train(False)
        if self.best:
            network.load_state_dict(self.best)
        return network

    def train_dataloader(self) -> Loader:
        """The loader of the current epoch."""
        return self._train_loader(self.current_epoch)

    def val_dataloader(self) -> Loader:
        """Frames of the role `tune`."""
        return self._tune_loader()

    def on_train_epoch_start(self) -> None:
        """Seed what the network itself draws, so that a resumed epoch is the same epoch."""
        torch.manual_seed(self.settings.seed * 100_003 + self.current_epoch)
        self._sums = {}
        self._started = time.monotonic()

    def training_step(self, batch: Batch) -> Tensor:
        """The loss of one batch."""
        pixels, targets = batch
        parts = self.task.loss(self.network(pixels), targets)
        for name, part in parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(part.detach())
        return torch.stack(list(parts.values())).sum()

    def on_train_batch_end(self, *_: object) -> None:
        """Move the average."""
        self.average.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        """Forget the frames of the epoch before."""
        self._tuned = []

    def validation_step(self, batch: Batch) -> None:
        """Judge the average on one batch."""
        pixels, targets = batch
        answer = self.average(pixels)
        loss = float(torch.stack(list(self.task.loss(answer, targets).values())).sum())
        scores, bad = answer.score.float().tolist(), targets["bad"].tolist()
        self._tuned += [(loss, score, is_bad) for score, is_bad in zip(scores, bad, strict=True)]

    def on_validation_epoch_end(self) -> None:
        """Note the epoch's figures; keep the weights when they are the best so far."""
        losses, scores, bad = zip(*self._tuned, strict=True)
        steps = len(self._train_loader(self.current_epoch))
        row = {f"train_{name}": value / steps for name, value in self._sums.items()}
        row["tune_loss"] = sum(losses) / len(losses)
        if self._tune_can_judge:
            row["tune_auroc"] = float(roc_auc_score(bad, scores))
        row["seconds"] = round(time.monotonic() - self._started, 2)
        lowest = min((old["tune_loss"] for old in self.rows), default=math.inf)
        if row["tune_loss"] < lowest or not self._tune_can_judge:
            weights = self.average.module.state_dict()
            self.best = {name: value.detach().cpu().clone() for name, value in weights.items()}
            self.kept_epoch = len(self.rows) + 1
        self.rows.append(row)
        self.log("tune_loss", row["tune_loss"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep with the weights what the next epochs go on from."""
        checkpoint["learnt"] = {
            "rows": self.rows,
            "best": self.best,
            "kept_epoch": self.kept_epoch,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        learnt = checkpoint["learnt"]
        self.rows, self.best, self.kept_epoch = learnt["rows"], learnt["best"], learnt["kept_epoch"]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with a cosine schedule over all planned steps."""
        optimiser = torch.optim.AdamW(
            parameter_groups(self.network, self.settings), lr=self.settings.learning_rate
        )
        total = len(self._train_loader(0)) * self.settings.epochs
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, total))
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def rate(step: int, total: int) -> float:
    """The share of the learning rate at a step: a short warm-up, then half a cosine.

    >>> [round(rate(step, 100), 2) for step in (0, 4, 5, 52, 100)]
    [0.2, 1.0, 1.0, 0.51, 0.01]
    """
    warm_up = max(1, round(total * _WARM_UP_SHARE))
    if step < warm_up:
        return (step + 1) / warm_up
    done = min(1.0, (step - warm_up) / max(1, total - warm_up))
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))


def parameter_groups(network: Network, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Pretrained weights learn slower; biases and norms do not decay."""
    backbone = network.backbone
    is_pretrained = backbone.spec.is_pretrained
    slow = {id(parameter) for parameter in backbone.parameters()} if is_pretrained else set()
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            key = id(parameter) in slow, parameter.ndim > 1
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": settings.learning_rate * (_PRETRAINED_RATE if is_slow else 1.0),
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (is_slow, decays), parameters in groups.items()
    ]


@torch.no_grad()
def move_average(averages: Any, current: Any, count: Tensor | int) -> None:  # noqa: ANN401
    """Exponential moving average that starts as a plain mean, so that early epochs count too."""
    decay = min(_AVERAGE_DECAY, (1 + int(count)) / (10 + int(count)))
    for average, value in zip(averages, current, strict=True):
        if average.dtype.is_floating_point:
            average.lerp_(value, 1 - decay)
        else:
            average.copy_(value)
