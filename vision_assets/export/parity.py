"""Whether an engine on a graph gives torch's verdicts: every test frame, from bytes to verdict.

What torch answered is read from the evaluation, where thresholds and rates come from; so a graph
that was changed on its way from there is found out, whatever changed it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from inspection.bundle import GRAPH, Bundle
from inspection.decision import Label, is_flip
from inspection.engines.engine import Engine, open_engine
from inspection.evidence import EngineEvidence
from inspection.inspector import FrameContext, Inspection, Inspector
from store.errors import InvalidInput, UnreadableFrame
from vision_assets.progress import Progress, silent

MANY = 8
"""The larger N that is compared; the smaller is 1."""

# Engines that compute in float32 differ from torch by about 1e-5. More means another graph or
# another precision, even when no test frame happens to lie where it would flip.
SCORE_TOLERANCE = 0.01
SCORE_TOLERANCE_RELATIVE = 0.001
CLASS_TOLERANCE = 0.01

_NOT_A_NUMBER = float(np.finfo(np.float32).max)

ReadFrames = Callable[[Sequence[str]], Iterator[tuple[str, bytes]]]
"""Original bytes of frames as (frame id, bytes), in the order of the ids given."""


@dataclass(frozen=True)
class Reference:
    """The test frames and what torch answered.

    Attributes:
        rows: One row a frame, as in the evaluation's ``predictions.parquet``: ``frame_id``,
            ``camera``, ``product``, ``label``, ``classes``, ``score``, ``class_scores``, ``p``,
            ``verdict``; no frame twice.
        read: Reads their bytes.
    """

    rows: pl.DataFrame
    read: ReadFrames

    def frames(self) -> Iterator[tuple[str, bytes, FrameContext]]:
        """Frame id, original bytes and context, in the order of `rows`."""
        columns = self.rows.select("frame_id", "camera", "product").rows()
        known = {
            name: FrameContext(camera or "", product or "") for name, camera, product in columns
        }
        for frame_id, data in self.read(list(known)):
            yield frame_id, data, known[frame_id]


@dataclass(frozen=True)
class Answer:
    """What the engine said of one frame.

    Attributes:
        frame_id: Whose answer.
        size: N of the engine call.
        score: Raw.
        class_scores: In the order of the contract's classes.
        verdict: After the rule.
        latency_ms: From bytes to verdict; None where frames were answered several at a time.
    """

    frame_id: str
    size: int
    score: float
    class_scores: tuple[float, ...]
    verdict: Label
    latency_ms: float | None = None


def measure(
    bundle: Bundle, engine: str, graph: str, reference: Reference, progress: Progress = silent
) -> tuple[EngineEvidence, pl.DataFrame]:
    """Compare one engine on one graph with torch, frame by frame, with N of 1 and of `MANY`.

    Returns:
        The evidence, and the rows of `compare` behind it.

    Raises:
        Unavailable: when the engine cannot run the graph here.
        InvalidInput: when there is no test frame.
        UnreadableFrame: when a frame that torch answered is refused here.
    """
    if reference.rows.is_empty():
        raise InvalidInput("the evaluation has no test frame to compare engines on")
    cores = os.cpu_count() or 1
    alone = open_engine(engine, bundle.folder, graph, threads=cores)
    build = alone.build
    answers = list(_one_by_one(bundle, alone, reference, progress))
    del alone
    several = open_engine(engine, bundle.folder, graph, threads=1, streams=cores)
    answers += _many(bundle, several, reference, cores, progress)
    rows = compare(reference.rows, answers, is_float=graph == GRAPH)
    return summarise(engine, graph, build, rows), rows


def compare(reference: pl.DataFrame, answers: Iterable[Answer], *, is_float: bool) -> pl.DataFrame:
    """Each answer beside torch's.

    Args:
        reference: As `Reference.rows`.
        answers: Of the same frames, each any number of times.
        is_float: The graph computes in float32, so that scores must agree too.

    Returns:
        One row an answer: ``frame_id``, ``size``, ``label``, ``verdict_torch``, ``verdict``,
        ``score_torch``, ``score``, ``score_difference``, ``class_difference``, ``latency_ms``,
        ``is_flip``, ``is_added_escape``, ``is_adrift`` (a float graph's scores differ by more than
        float32 explains).
    """
    known = {row["frame_id"]: row for row in reference.iter_rows(named=True)}
    rows = [_row(known[answer.frame_id], answer, is_float) for answer in answers]
    return pl.DataFrame(rows, schema_overrides={"latency_ms": pl.Float64}, infer_schema_length=None)


def summarise(engine: str, graph: str, build: str, rows: pl.DataFrame) -> EngineEvidence:
    """The evidence that rows of `compare` make. A frame counts once, however often it flipped."""
    flips = rows.filter("is_flip")["frame_id"].n_unique()
    escapes = rows.filter("is_added_escape")["frame_id"].n_unique()
    latency = rows["latency_ms"].drop_nulls().to_numpy()
    return EngineEvidence(
        engine=engine,
        graph=graph,
        build=build,
        frames=rows["frame_id"].n_unique(),
        flips=flips,
        added_escapes=escapes,
        max_score_difference=float(rows["score_difference"].to_numpy().max()),
        latency_p50_ms=float(np.percentile(latency, 50)),
        latency_p99_ms=float(np.percentile(latency, 99, method="higher")),
        passed=not flips and not escapes and not rows["is_adrift"].any(),
    )


def _one_by_one(
    bundle: Bundle, engine: Engine, reference: Reference, progress: Progress
) -> Iterator[Answer]:
    inspector = Inspector(bundle.contract, bundle.rule, engine)
    what = f"{engine.name} on {engine.graph}: one frame at a time"
    for done, (frame_id, data, context) in enumerate(reference.frames()):
        if done == 0:
            inspector.inspect(data, context)  # the first call of an engine is slow
        start = time.perf_counter()
        found = inspector.inspect(data, context)
        latency_ms = (time.perf_counter() - start) * 1000
        yield _answer(frame_id, 1, found, latency_ms)
        progress(what, done + 1, len(reference.rows))


def _many(
    bundle: Bundle, engine: Engine, reference: Reference, workers: int, progress: Progress
) -> Iterator[Answer]:
    inspector = Inspector(bundle.contract, bundle.rule, engine)
    what = f"{engine.name} on {engine.graph}: {MANY} frames at a time"
    answers = inspector.inspect_many(reference.frames(), batch_size=MANY, workers=workers)
    for done, (frame_id, found) in enumerate(answers):
        if isinstance(found, UnreadableFrame):
            raise found
        yield _answer(frame_id, MANY, found)
        progress(what, done + 1, len(reference.rows))


def _answer(frame_id: str, size: int, found: Inspection, latency_ms: float | None = None) -> Answer:
    return Answer(
        frame_id,
        size,
        float(found.outputs.score[0]),
        tuple(map(float, found.outputs.class_scores[0])),
        found.verdict.label,
        latency_ms,
    )


def _row(torch: Mapping[str, Any], answer: Answer, is_float: bool) -> dict[str, object]:
    expected = Label(torch["verdict"])
    difference = _difference(torch["score"], answer.score)
    class_difference = _difference(torch["class_scores"], answer.class_scores)
    allowed = SCORE_TOLERANCE + SCORE_TOLERANCE_RELATIVE * abs(torch["score"])
    passes_a_defect = torch["label"] == "defect" and answer.verdict is Label.PASS
    return {
        "frame_id": answer.frame_id,
        "size": answer.size,
        "label": torch["label"],
        "verdict_torch": expected.value,
        "verdict": answer.verdict.value,
        "score_torch": torch["score"],
        "score": answer.score,
        "score_difference": difference,
        "class_difference": class_difference,
        "latency_ms": answer.latency_ms,
        "is_flip": is_flip(expected, answer.verdict),
        "is_added_escape": passes_a_defect and expected is not Label.PASS,
        "is_adrift": is_float and (difference > allowed or class_difference > CLASS_TOLERANCE),
    }


def _difference(expected: float | Sequence[float], found: float | Sequence[float]) -> float:
    """The largest absolute difference; where either is no number, the largest there is."""
    gap = np.abs(np.asarray(expected, np.float64) - np.asarray(found, np.float64))
    return float(np.nan_to_num(gap, nan=_NOT_A_NUMBER, posinf=_NOT_A_NUMBER).max(initial=0.0))
