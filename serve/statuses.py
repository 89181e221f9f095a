"""The one table from our errors to gRPC status codes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import grpc

from store.errors import (
    Conflict,
    Corrupt,
    InvalidInput,
    NotFound,
    Refused,
    Unavailable,
    UnreadableFrame,
    VisionError,
)

STATUSES: dict[type[VisionError], tuple[grpc.StatusCode, str]] = {
    InvalidInput: (grpc.StatusCode.INVALID_ARGUMENT, "invalid_input"),
    NotFound: (grpc.StatusCode.NOT_FOUND, "not_found"),
    Conflict: (grpc.StatusCode.ABORTED, "conflict"),
    Corrupt: (grpc.StatusCode.DATA_LOSS, "corrupt"),
    Refused: (grpc.StatusCode.FAILED_PRECONDITION, "refused"),
    Unavailable: (grpc.StatusCode.UNAVAILABLE, "unavailable"),
    VisionError: (grpc.StatusCode.INTERNAL, "internal"),
}
"""Status and code of each class; an `UnreadableFrame` has the code of its reason instead."""


MAX_MESSAGE_CHARACTERS = 500
"""A message may quote what a client sent; it goes into a row and into trailing metadata."""


class NoRelease(Refused):
    """The line has no live release, so nobody may judge its frames."""


class UnknownLine(NotFound):
    """A request names a line that this server does not have."""


@dataclass(frozen=True)
class Problem:
    """An error as a client sees it.

    Attributes:
        status: The gRPC status.
        code: Stable short code.
        message: One of our own messages.
        error_id: Under which the server's log tells more; empty when the message tells all.
        retry_after_s: When to try again, at the earliest; 0: it would not help, or nobody knows.
    """

    status: grpc.StatusCode
    code: str
    message: str
    error_id: str = ""
    retry_after_s: float = 0.0


def problem(error: Exception) -> Problem:
    """What a client is told of an error.

    An error that the client can mend, and that there is no release, is told as it is. All others
    speak of this host's folders, libraries and code: the client gets an id, the log the rest.
    """
    known = next((cls for cls in type(error).__mro__ if cls in STATUSES), VisionError)
    status, code = STATUSES[known]
    if isinstance(error, UnreadableFrame):
        return Problem(status, error.reason, _short(error))
    if isinstance(error, NoRelease):
        return Problem(status, "no_release", _short(error))
    if isinstance(error, InvalidInput | UnknownLine):
        return Problem(status, code, _short(error))
    if isinstance(error, MemoryError):
        status, code = grpc.StatusCode.RESOURCE_EXHAUSTED, "no_memory"
    error_id = uuid.uuid4().hex
    message = f"the frame was not judged: look for error {error_id} in the server's log"
    return Problem(status, code, message, error_id)


def status_number(status: grpc.StatusCode) -> int:
    """The number of a status on the wire."""
    return int(status.value[0])


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else f"{text[: MAX_MESSAGE_CHARACTERS - 1]}…"
