"""A request of the Open Inference Protocol as a frame."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import uuid_utils

from serve.frame import IncomingFrame, RawFrame
from serve.open_inference.tensors import Tensor, inputs_of
from serve.protocol import open_inference_pb2 as pb
from store.errors import InvalidInput

FRAME, PIXELS = "frame", "pixels"
ABOUT = ("camera", "product", "serial", "frame_id", "captured_at")
"""What may be said of a frame: each an input of BYTES [1], or a string parameter of the request."""

_TRITON = "triton_"
"""Parameters that Triton's clients add by themselves begin so, and say nothing of a frame."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def incoming(request: pb.ModelInferRequest, traceparent: str = "") -> IncomingFrame:
    """The frame of a request.

    Args:
        request: As it came.
        traceparent: Of the W3C trace it belongs to; empty without one.

    Raises:
        InvalidInput: when the inputs are not those of one frame.
    """
    inputs = inputs_of(request)
    _check_parameters(request)
    if unknown := sorted(inputs.keys() - {FRAME, PIXELS, *ABOUT}):
        known = ", ".join((FRAME, PIXELS, *ABOUT))
        raise InvalidInput(f"this model has no input {unknown[0][:50]!r}; it has {known}")
    about = _about(request, inputs)
    captured_at = about.pop("captured_at")
    frame_id = about.pop("frame_id") or request.id or str(uuid_utils.uuid7())
    return IncomingFrame(
        payload=_payload(inputs),
        frame_id=frame_id,
        captured=_captured(captured_at) if captured_at else None,
        traceparent=traceparent,
        **about,
    )


def _payload(inputs: Mapping[str, Tensor]) -> bytes | RawFrame:
    found = [name for name in (FRAME, PIXELS) if name in inputs]
    if len(found) != 1:
        raise InvalidInput(
            f"the request has {' and '.join(found) or 'no frame'}: send either {FRAME} (BYTES [1], "
            f"an encoded file) or {PIXELS} (UINT8 [H, W, C])"
        )
    if found == [FRAME]:
        return inputs[FRAME].one_of_bytes()
    data, shape = inputs[PIXELS].pixels()
    return RawFrame(data, shape, "uint8")


def _about(request: pb.ModelInferRequest, inputs: Mapping[str, Tensor]) -> dict[str, str]:
    """What the request says of its frame; empty where it does not."""
    found = {}
    for name in ABOUT:
        given = request.parameters[name].string_param if name in request.parameters else ""
        found[name] = inputs[name].text() if name in inputs else given
    return found


def _check_parameters(request: pb.ModelInferRequest) -> None:
    """Refuse parameters that would go unheard.

    Raises:
        InvalidInput: naming every one of them.
    """
    faults = []
    for name, value in sorted(request.parameters.items()):
        kind = value.WhichOneof("parameter_choice")
        if name not in ABOUT and not name.startswith(_TRITON):
            faults.append(f"there is no parameter {name[:50]!r}; known are {', '.join(ABOUT)}")
        elif name in ABOUT and kind not in (None, "string_param"):
            faults.append(f"parameter {name} is given as {kind}, expected string_param")
    if faults:
        raise InvalidInput("; ".join(faults))


def _captured(text: str) -> tuple[int, int]:
    """Seconds and nanoseconds since 1970 of an ISO 8601 time; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - _EPOCH
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"captured_at {text[:50]!r} is no time in ISO 8601, such as 2026-11-21T14:20:05Z"
        ) from error
    return since // timedelta(seconds=1), since % timedelta(seconds=1) // timedelta(
        microseconds=1
    ) * 1000
