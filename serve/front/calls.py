"""What the fast front takes from a call: its frame, its line and its time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from google.protobuf.message import DecodeError, Message

from serve.handler import Arrival, Failure, Handler
from serve.messages import incoming, nowhere
from serve.protocol import inspection_v1_pb2 as pb
from serve.station import Stations
from store.errors import InvalidInput, VisionError

INSPECT = "/inspection.v1.Inspection/Inspect"
INSPECT_STREAM = "/inspection.v1.Inspection/InspectStream"

Plain = Callable[[bytes], Message]
"""A call that is answered at once, on the thread that reads; may raise a VisionError."""

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def time_left_s(metadata: Mapping[str, str]) -> float:
    """How long the client waits, from its ``grpc-timeout``; infinite when it does not say.

    >>> time_left_s({"grpc-timeout": "250m"})
    0.25
    """
    found = _TIMEOUT.fullmatch(metadata.get("grpc-timeout", ""))
    return int(found[1]) * _UNITS_S[found[2]] if found else math.inf


def accept(stations: Stations, message: bytes) -> tuple[Handler, Arrival] | Failure:
    """A frame as it came over the wire, and who answers for the line that it names."""
    try:
        request = pb.Frame.FromString(message)
    except DecodeError:
        return nowhere("", InvalidInput("the message is no inspection.v1.Frame: send one"))
    try:
        return stations.of(request.line).handler, Arrival(incoming(request))
    except VisionError as error:
        return nowhere(request.frame_id, error)
