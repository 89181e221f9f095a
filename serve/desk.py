"""Where a frame's message becomes a frame of a line, or is refused: the same for both fronts."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from serve.access import Access
from serve.handler import Arrival, Failure, Handler
from serve.messages import incoming, refusal
from serve.protocol import inspection_v1_pb2 as pb
from serve.station import Stations
from serve.statuses import problem
from serve.tokens import Grant
from store.errors import InvalidInput, VisionError


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
            handler = self.stations.of(request.line, grant.covers).handler
        except VisionError as error:
            return None, refusal(request.frame_id, problem(error))
        frame = incoming(request, traceparent)
        refused = self.access.limit(grant, handler.identity.line, frame.size_bytes)
        if refused:
            return None, refusal(request.frame_id, refused)
        return handler, Arrival(frame)
