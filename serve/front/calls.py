"""Which calls the fast front takes, and how long their clients wait."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from serve.tokens import Grant

INSPECT = "/inspection.v1.Inspection/Inspect"
INSPECT_STREAM = "/inspection.v1.Inspection/InspectStream"

Plain = Callable[[bytes, Grant], tuple[str, Message]]
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
