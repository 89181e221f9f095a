"""What is attached to a bundle to prove it: golden frames, evidence per engine, gates.

Export writes these, promotion reads the gates, the line reads the evidence and replays the golden
frames.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from inspection.decision import Label
from store.errors import Corrupt
from store.hashing import canonical_json

EVIDENCE = "evidence.json"
GATES = "gates.json"
GOLDEN_FRAMES = "golden.tar"
GOLDEN_EXPECTED = "golden.json"


class EngineEvidence(BaseModel):
    """How one engine on one graph compares with torch on the test frames, from bytes to verdict."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str = Field(description="as in `Engine.name`")
    graph: str = Field(description="file name inside the bundle")
    frames: int = Field(ge=0, description="how many frames were compared")
    flips: int = Field(ge=0, description="verdicts that differ in a way that counts (`is_flip`)")
    added_escapes: int = Field(ge=0, description="defective frames that only this engine passes")
    max_score_difference: float = Field(
        ge=0, allow_inf_nan=False, description="largest difference of the raw score to torch"
    )
    latency_p50_ms: float = Field(ge=0, description="one frame, on the machine that exported")
    latency_p99_ms: float = Field(ge=0, description="one frame, on the machine that exported")
    passed: bool = Field(description="whether the engine may answer on the line")
    build: str = Field("", description="as in `Engine.build`")


class Gate(BaseModel):
    """One condition that a bundle must meet to be promoted, with its evidence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    passed: bool
    value: float | None = Field(None, description="what was measured; None when nothing could be")
    limit: float | None = Field(None, description="what it was compared with")
    message: str = Field("", description="what was found, what was expected, what to do")
    details: dict[str, JsonValue] = Field(default_factory=dict)


@dataclass(frozen=True)
class Golden:
    """A frame as original bytes, with what torch answered for it.

    Attributes:
        frame_id: Its id in the snapshot.
        data: Original bytes.
        camera: As the frame's metadata says; may be empty.
        product: As the frame's metadata says; may be empty.
        label: The verdict.
        score: The raw ``score`` of the graph, before calibration.
        class_scores: In the order of the contract's classes.
    """

    frame_id: str
    data: bytes
    camera: str
    product: str
    label: Label
    score: float
    class_scores: tuple[float, ...]


class _Expected(BaseModel):
    """A row of ``golden.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frame_id: str
    camera: str
    product: str
    label: Label
    score: float
    class_scores: tuple[float, ...]


_Row = TypeVar("_Row")

_EXPECTED = TypeAdapter(list[_Expected])
_EVIDENCE = TypeAdapter(list[EngineEvidence])
_GATES = TypeAdapter(list[Gate])


def to_attachments(
    golden: Sequence[Golden] | None = None,
    evidence: Sequence[EngineEvidence] | None = None,
    gates: Sequence[Gate] | None = None,
) -> dict[str, bytes]:
    """Files for `store.artifacts.attach` by name; only of what is given.

    Equal arguments give equal bytes.
    """
    files: dict[str, bytes] = {}
    if golden is not None:
        files[GOLDEN_FRAMES] = _tar({frame.frame_id: frame.data for frame in golden})
        fields = _Expected.model_fields
        rows = [{name: getattr(frame, name) for name in fields} for frame in golden]
        files[GOLDEN_EXPECTED] = canonical_json(rows)
    if evidence is not None:
        files[EVIDENCE] = canonical_json([row.model_dump(mode="json") for row in evidence])
    if gates is not None:
        files[GATES] = canonical_json([gate.model_dump(mode="json") for gate in gates])
    return files


def read_golden(frames_tar: bytes, expected: bytes) -> list[Golden]:
    """The golden frames of two attachments, in their stored order.

    Raises:
        Corrupt: when the two do not fit each other or are not what `to_attachments` writes.
    """
    rows = _read(_EXPECTED, GOLDEN_EXPECTED, expected)
    try:
        with tarfile.open(fileobj=io.BytesIO(frames_tar), mode="r:") as tar:
            data = {info.name: tar.extractfile(info) for info in tar}
            frames = {name: stream.read() for name, stream in data.items() if stream}
    except tarfile.TarError as error:
        raise Corrupt(f"{GOLDEN_FRAMES} is not a tar file ({error}); export again") from error
    missing = [row.frame_id for row in rows if row.frame_id not in frames]
    if missing or len(frames) != len(rows):
        raise Corrupt(
            f"{GOLDEN_FRAMES} holds {len(frames)} frames, {GOLDEN_EXPECTED} expects {len(rows)}"
            f" (missing: {missing[:5]}); export again"
        )
    return [Golden(data=frames[row.frame_id], **row.__dict__) for row in rows]


def read_evidence(data: bytes) -> list[EngineEvidence]:
    """The rows of ``evidence.json``.

    Raises:
        Corrupt: when they are not what `to_attachments` writes.
    """
    return _read(_EVIDENCE, EVIDENCE, data)


def read_gates(data: bytes) -> list[Gate]:
    """The rows of ``gates.json``.

    Raises:
        Corrupt: when they are not what `to_attachments` writes.
    """
    return _read(_GATES, GATES, data)


def _read(adapter: TypeAdapter[list[_Row]], file: str, data: bytes) -> list[_Row]:
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        raise Corrupt(f"{file} is not what export writes: {error}; export again") from error


def _tar(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.TarFile(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
