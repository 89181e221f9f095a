"""The one object that turns a frame into a verdict, in evaluation, gates and on the line."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspection.contract import Contract
from inspection.decision import Rule, Verdict, decide
from inspection.engines.engine import Engine
from inspection.outputs import Outputs
from inspection.preprocess import Prepared, prepare, prepare_pixels
from store.errors import Unavailable, UnreadableFrame, VisionError

Frame = bytes | NDArray[np.uint8]
"""Encoded bytes, or raw pixels ``(H, W, channels) uint8`` (RGB for three channels)."""


@dataclass(frozen=True)
class FrameContext:
    """What is known of a frame besides its pixels; empty when the frame does not say."""

    camera: str = ""
    product: str = ""


@dataclass(frozen=True)
class Inspection:
    """The answer for one frame.

    Attributes:
        verdict: PASS, REJECT or REVIEW with its reasons.
        outputs: What the graph gave, N = 1.
        statistics: Tier-1 statistics by column name.
        decode_ms: From bytes (or raw pixels) to the graph's input, statistics included.
        engine_ms: The engine call; of a batch, this frame's equal share.
    """

    verdict: Verdict
    outputs: Outputs
    statistics: dict[str, float]
    decode_ms: float
    engine_ms: float


# Enough that the others go on while the oldest batch waits for a core.
_AHEAD = 4

Item = tuple[str, Frame, FrameContext]
Answer = tuple[str, Inspection | UnreadableFrame]


class Inspector:
    """Inspects frames with one rule and one engine; may be shared between threads."""

    def __init__(self, contract: Contract, rule: Rule, engine: Engine) -> None:
        self.contract = contract
        self.rule = rule
        self.engine = engine

    def inspect(self, data: bytes, context: FrameContext) -> Inspection:
        """The answer for one encoded frame.

        Raises:
            UnreadableFrame: when the bytes are not a frame the contract accepts.
            Unavailable: when the engine fails.
        """
        return self._inspect(data, context)

    def inspect_pixels(self, frame: NDArray[np.uint8], context: FrameContext) -> Inspection:
        """The answer for one raw frame ``(H, W, channels) uint8`` (RGB for three channels).

        Raises:
            UnreadableFrame: when shape or dtype are not what the contract accepts.
            Unavailable: when the engine fails.
        """
        return self._inspect(frame, context)

    def inspect_many(
        self, frames: Iterable[Item], batch_size: int = 1, workers: int = 2
    ) -> Iterator[Answer]:
        """Answers for any number of frames, in order, in bounded memory.

        Args:
            frames: Frame id, encoded bytes or raw pixels, and context; read as answers are taken.
            batch_size: Frames in one engine call. CPU engines gain nothing from more than one.
            workers: Threads that each decode a batch and run the engine on it: while one decodes,
                another runs the engine. Open the engine with as many streams.

        Raises:
            ValueError: when `batch_size` or `workers` is less than 1.
            Unavailable: when the engine fails.
        """
        if batch_size < 1 or workers < 1:
            raise ValueError(f"batch_size {batch_size} and workers {workers} must be at least 1")
        return self._stream(iter(frames), batch_size, workers)

    def _stream(self, frames: Iterator[Item], batch_size: int, workers: int) -> Iterator[Answer]:
        """At most `_AHEAD` batches per worker are in hand, besides the one being given out."""
        pool = ThreadPoolExecutor(workers, thread_name_prefix="inspect")
        pending: deque[Future[list[Answer]]] = deque()
        try:
            while batch := list(itertools.islice(frames, batch_size)):
                pending.append(pool.submit(self._batch, batch))
                if len(pending) > _AHEAD * workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _inspect(self, data: Frame, context: FrameContext) -> Inspection:
        return self._answers([self._prepare(data, context)])[0]

    def _batch(self, items: Sequence[Item]) -> list[Answer]:
        """Answers for one batch; an unreadable frame does not hold up the others."""
        slots = [self._try_prepare(data, context) for _, data, context in items]
        answers = iter(self._answers([slot for slot in slots if isinstance(slot, Ready)]))
        return [
            (frame_id, slot if isinstance(slot, UnreadableFrame) else next(answers))
            for (frame_id, _, _), slot in zip(items, slots, strict=True)
        ]

    def _try_prepare(self, data: Frame, context: FrameContext) -> Ready | UnreadableFrame:
        try:
            return self._prepare(data, context)
        except UnreadableFrame as error:
            # A new one: the traceback of the first keeps the frame's bytes alive.
            return UnreadableFrame(error.reason, str(error))

    def _prepare(self, data: Frame, context: FrameContext) -> Ready:
        started = time.perf_counter()
        spec = self.contract.input
        prepared = prepare(data, spec) if isinstance(data, bytes) else prepare_pixels(data, spec)
        return Ready(prepared, context, (time.perf_counter() - started) * 1e3)

    def _answers(self, ready: Sequence[Ready]) -> list[Inspection]:
        """Answers from one engine call."""
        if not ready:
            return []
        started = time.perf_counter()
        if len(ready) == 1:  # on the line: nothing to stack, nothing to take apart
            outputs = self._run(ready[0].prepared.pixels[np.newaxis])
            return [self._answer(ready[0], outputs, (time.perf_counter() - started) * 1e3)]
        outputs = self._run(np.stack([one.prepared.pixels for one in ready]))
        engine_ms = (time.perf_counter() - started) * 1e3 / len(ready)
        return [self._answer(one, outputs.row(index), engine_ms) for index, one in enumerate(ready)]

    def _run(self, pixels: NDArray[np.uint8]) -> Outputs:
        """What the engine gives; whatever else it raises is its failure, no fault of a frame."""
        try:
            return self.engine.run(pixels)
        except (VisionError, MemoryError):
            raise
        except Exception as error:  # a library's own
            raise Unavailable(
                f"{self.engine.name} failed on {self.engine.graph}: {type(error).__name__}: {error}"
            ) from error

    def _answer(self, ready: Ready, outputs: Outputs, engine_ms: float) -> Inspection:
        context = ready.context
        verdict = decide(outputs, self.contract.classes, self.rule, context.product, context.camera)
        return Inspection(verdict, outputs, ready.prepared.statistics, ready.decode_ms, engine_ms)


@dataclass(frozen=True)
class Ready:
    """A frame that only waits for the engine."""

    prepared: Prepared
    context: FrameContext
    decode_ms: float
