"""What the fast front takes from a call: its frame, its line and its time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message

from serve.access import Access
from serve.handler import Arrival, Failure, Handler
from serve.messages import incoming, refusal
from serve.protocol import inspection_v1_pb2 as pb
from serve.station import Stations
from serve.statuses import problem
from serve.tokens import Grant
from store.errors import InvalidInput, VisionError

INSPECT = "/inspection.v1.Inspection/Inspect"
INSPECT_STREAM = "/inspection.v1.Inspection/InspectStream"

Plain = Callable[[bytes], tuple[str, Message]]
"""A call that is answered at once, on the thread that reads: the line asked for, and the answer.

May raise a VisionError."""

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def time_left_s(metadata: Mapping[str, str]) -> float:
    """How long the client waits, from its ``grpc-timeout``; infinite when it does not say.

    >>> time_left_s({"grpc-timeout": "250m"})
    0.25
    """
    found = _TIMEOUT.fullmatch(metadata.get("grpc-timeout", ""))
    return int(found[1]) * _UNITS_S[found[2]] if found else math.inf


@dataclass(frozen=True)
class Desk:
    """Takes frames as they come over the wire, for the lines of one server."""

    stations: Stations
    access: Access

    def accept(
        self, message: bytes, grant: Grant, traceparent: str
    ) -> tuple[Handler, Arrival] | tuple[None, Failure]:
        """A frame and who answers it; or why it is not taken.

        Args:
            message: An `inspection.v1.Frame`.
            grant: What the caller may, from `Access.authorise`.
            traceparent: Of the W3C trace that the call belongs to.
        """
        try:
            request = pb.Frame.FromString(message)
        except DecodeError:
            wrong = InvalidInput("the message is no inspection.v1.Frame: send one")
            return None, refusal("", problem(wrong))
        try:
            handler = self.stations.of(request.line).handler
        except VisionError as error:
            return None, refusal(request.frame_id, problem(error))
        frame = incoming(request, traceparent)
        refused = self.access.limit(grant, handler.identity.line, frame.size_bytes)
        if refused:
            return None, refusal(request.frame_id, refused)
        return handler, Arrival(frame)
