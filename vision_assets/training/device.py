"""What a training computes on, and making it compute the same every time."""

from __future__ import annotations

from typing import Any

import cv2
import torch


def prepare_torch(threads: int) -> None:
    """Fix the number of threads, on which sums depend, and let OpenCV leave them to the loader."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(0)


def device_name() -> str:
    """``cpu``, or what the GPU calls itself."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def trainer_options() -> dict[str, Any]:
    """What Lightning's trainer needs to know of the device.

    Mixed precision where the device gains by it: bfloat16 on a CPU saves a fifth of a step at most,
    and its effect on small defects was not measured.
    """
    if not torch.cuda.is_available():
        return {"accelerator": "cpu", "precision": "32-true", "deterministic": True}
    mixed = "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    # Some kernels that a GPU needs have no deterministic form.
    return {"accelerator": "gpu", "precision": mixed, "deterministic": "warn"}
