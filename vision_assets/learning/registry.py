"""Tasks by name: a task is a folder of this package.

Without torch, so that the process that orchestrates may ask.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

import vision_assets.learning
from store.errors import InvalidInput

if TYPE_CHECKING:
    from vision_assets.learning.task import Task


def names() -> list[str]:
    """Names of all tasks."""
    found = pkgutil.iter_modules(vision_assets.learning.__path__)
    return [module.name for module in found if module.ispkg]


def task(name: str) -> Task:
    """The task of that name; loads torch.

    Raises:
        InvalidInput: when there is none; the message lists what there is.
    """
    _require(name)
    found: Task = importlib.import_module(f"vision_assets.learning.{name}.task").TASK
    return found


def version(name: str) -> int:
    """The version of a task's code: another one trains other weights from equal inputs.

    Raises:
        InvalidInput: when there is no such task.
    """
    _require(name)
    found: int = importlib.import_module(f"vision_assets.learning.{name}").VERSION
    return found


def needs_defects(name: str) -> bool:
    """Whether a task learns from defects; one that does not is shown good frames only.

    Raises:
        InvalidInput: when there is no such task.
    """
    _require(name)
    found: bool = importlib.import_module(f"vision_assets.learning.{name}").NEEDS_DEFECTS
    return found


def class_names(name: str, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that the network of a task tells apart.

    They are the line's; one named ``defect`` when the line names none, or the task knows none.

    >>> class_names("classification", ["pit"]), class_names("anomaly", ["pit"])
    (('pit',), ('defect',))
    """
    return (tuple(classes) if needs_defects(name) else ()) or ("defect",)


def _require(name: str) -> None:
    if name not in names():
        raise InvalidInput(f"task {name!r} does not exist; there are {', '.join(names())}")
