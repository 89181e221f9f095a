"""What one training is asked for, and the name of its result."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from store.hashing import content_name
from vision_assets.config import LineConfig
from vision_assets.learning import hub, registry

KIND = "models"
VERSION = 2
"""Raised whenever equal inputs would train other weights, whatever the task."""


class Request(BaseModel):
    """One training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    line: str = Field(description="site/line")
    snapshot: str
    backbone: str = Field(description="local folder of the pretrained backbone; empty: none")
    inputs: dict[str, Any] = Field(description="all that determines the weights")
    settings: LineConfig
    threads: int = Field(ge=1, description="of torch and of the loader")
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's name."""
        return content_name(self.inputs)


def ask(store: str, line: str, snapshot: str, settings: LineConfig, threads: int) -> Request:
    """A request with everything resolved that lies outside the store.

    Raises:
        InvalidInput: when the task or the backbone does not exist.
    """
    training = settings.training
    folder = hub.find(training.backbone)
    inputs = {
        "version": [VERSION, registry.version(settings.task)],
        "snapshot": snapshot,
        "task": settings.task,
        "classes": list(settings.classes),
        "max_pixels": settings.ingest.max_pixels,
        "min_side_px": settings.ingest.min_side_px,
        # Where the backbone lies does not matter, what it holds does.
        "training": training.model_dump(mode="json", exclude={"backbone"}),
        "backbone": hub.content_hash(folder) if folder else None,
    }
    return Request(
        store=store,
        line=line,
        snapshot=snapshot,
        backbone=str(folder) if folder else "",
        inputs=inputs,
        settings=settings,
        threads=threads,
        warnings=() if folder else (_without_backbone(training.backbone),),
    )


def _without_backbone(name: str) -> str:
    why = f"backbone {name!r} cannot be reached" if name else "no backbone is set"
    return (
        f"{why}: training a small network from scratch. With few frames a pretrained backbone "
        "finds far more; set `training: {backbone: NAME_OR_FOLDER}`"
    )
