"""What every Python system here does with a frame: decode, resize, engine.

Pixels are those that a bundle's contract asks for (`inspection.preprocess.fit`), so that nobody
does less work than another: halve while that leaves enough, then average areas.
"""

from __future__ import annotations

import json
import os

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

SIDE_PX = 224
CORES = len(os.sched_getaffinity(0))
_JPEG = b"\xff\xd8"

cv2.setNumThreads(1)


def open_session(graph: str) -> ort.InferenceSession:
    """One thread for each call; calls may come from several threads at once."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def pixels_of(data: bytes, scale: int = 0) -> NDArray[np.uint8]:
    """The graph's input (1, 224, 224, 3) uint8 of a JPEG file, or of raw pixels.

    Args:
        data: The file.
        scale: OpenCV's flag for decoding at a part of the size; no peer sets it.
    """
    if data[:2] != _JPEG:
        return np.frombuffer(data, np.uint8).reshape(1, SIDE_PX, SIDE_PX, 3)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | scale
    frame = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    assert frame is not None
    while min(frame.shape[:2]) >= 2 * SIDE_PX:
        height, width = frame.shape[:2]
        frame = cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    small = frame.astype(np.float32)
    means = cv2.resize(small, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.convertScaleAbs(means), np.uint8)[np.newaxis]


def judge(session: ort.InferenceSession, data: bytes, scale: int = 0) -> tuple[float, list[float]]:
    """Score and class scores of one frame."""
    score, classes, *_ = session.run(None, {"pixels": pixels_of(data, scale)})
    return float(score[0]), [float(value) for value in classes[0]]


def answer(session: ort.InferenceSession, data: bytes) -> bytes:
    """The judgement as JSON."""
    score, classes = judge(session, data)
    verdict = "PASS" if score < 0.3 else "REJECT"
    return json.dumps({"verdict": verdict, "score": score, "classes": classes}).encode()
