"""An outcome as a response of the Open Inference Protocol, and what a line's model looks like."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence

from inspection.decision import Reason
from serve.handler import Decision, Unjudged
from serve.open_inference.frames import ABOUT, FRAME, PIXELS
from serve.open_inference.tensors import BYTES, FP64, UINT8, add_output
from serve.protocol import open_inference_pb2 as pb
from serve.rows import Identity
from store.errors import InvalidInput

PLATFORM = "vision-assets"

_OUTPUTS = {
    "verdict": BYTES,
    "score": FP64,
    "classes": BYTES,
    "class_scores": FP64,
    "reasons": BYTES,
    "release": BYTES,
    "bundle": BYTES,
    "engine": BYTES,
    "frame_id": BYTES,
    "decision": BYTES,
}
_MANY = ("classes", "class_scores")


def to_response(
    request: pb.ModelInferRequest, outcome: Decision | Unjudged, identity: Identity
) -> pb.ModelInferResponse:
    """The response for an outcome: the outputs that the request names, or all.

    Tensors are raw when the request's were.
    """
    values = _judged(outcome) if isinstance(outcome, Decision) else _unjudged(outcome)
    decision = f"{identity.host}/{identity.boot}/{outcome.sequence}"
    values |= {"frame_id": [outcome.frame_id.encode()], "decision": [decision.encode()]}
    number = str(outcome.release.number) if isinstance(outcome, Decision) else ""
    response = pb.ModelInferResponse(model_name=identity.line, model_version=number, id=request.id)
    for name in wanted(request):
        add_output(response, name, values[name], raw=bool(request.raw_input_contents))
    return response


def wanted(request: pb.ModelInferRequest) -> list[str]:
    """The names of the outputs asked for.

    Raises:
        InvalidInput: when one is unknown, or asks for shared memory or a ranking.
    """
    for one in request.outputs:
        if one.name not in _OUTPUTS:
            known = ", ".join(_OUTPUTS)
            raise InvalidInput(f"this model has no output {one.name[:50]!r}; it has {known}")
        refused = [key for key in one.parameters if key.startswith(("shared_mem", "classif"))]
        if refused:
            raise InvalidInput(
                f"output {one.name} asks for {refused[0][:50]}, which this server does not offer: "
                "class_scores and classes are in the same order"
            )
    return [one.name for one in request.outputs] or list(_OUTPUTS)


def metadata(line: str, versions: Iterable[str], channels: int) -> pb.ModelMetadataResponse:
    """What a line's model takes and gives.

    Args:
        line: Its name.
        versions: Numbers of the releases that answer.
        channels: Of the pixels; -1 when not known.
    """
    tensor = pb.ModelMetadataResponse.TensorMetadata
    about = [tensor(name=name, datatype=BYTES, shape=[1]) for name in ABOUT]
    return pb.ModelMetadataResponse(
        name=line,
        versions=list(versions),
        platform=PLATFORM,
        inputs=[
            tensor(name=FRAME, datatype=BYTES, shape=[1]),
            tensor(name=PIXELS, datatype=UINT8, shape=[-1, -1, channels]),
            *about,
        ],
        outputs=[
            tensor(name=name, datatype=datatype, shape=[-1 if name in _MANY else 1])
            for name, datatype in _OUTPUTS.items()
        ],
    )


_Values = dict[str, Sequence[bytes] | Sequence[float]]


def _judged(decision: Decision) -> _Values:
    verdict, release = decision.inspection.verdict, decision.release
    scores: list[float] = decision.inspection.outputs.class_scores[0].tolist()
    return {
        "verdict": [verdict.label.value.encode()],
        "score": [verdict.score],
        "classes": [name.encode() for name in release.bundle.contract.classes],
        "class_scores": scores,
        "reasons": [_reasons(verdict.reasons)],
        "release": [release.name.encode()],
        "bundle": [release.bundle.name.encode()],
        "engine": [release.engine.encode()],
    }


def _unjudged(outcome: Unjudged) -> _Values:
    """Nobody looked at the frame: no score is known, so that it is not a number."""
    return {
        "verdict": [outcome.label.value.encode()],
        "score": [math.nan],
        "classes": [],
        "class_scores": [],
        "reasons": [_reasons([Reason(outcome.why, value=outcome.wait_ms)])],
        "release": [outcome.release.encode()],
        "bundle": [b""],
        "engine": [b""],
    }


def _reasons(reasons: Iterable[Reason]) -> bytes:
    """JSON: a list of objects as in the rows of the spool."""
    fields = [dataclasses.asdict(reason) for reason in reasons]
    known = [{key: value for key, value in one.items() if value is not None} for one in fields]
    return json.dumps(known, ensure_ascii=False).encode()
