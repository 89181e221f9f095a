"""One call of a gRPC client: cuts an HTTP/2 stream's bytes into messages."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

PREFIX = struct.Struct(">BI")
"""Before each message: whether it is compressed, and its length."""

RESOURCE_EXHAUSTED, UNIMPLEMENTED = 8, 12
_MOST_MESSAGES = 4096
"""That may wait in one call: the window is counted in bytes, and messages may be empty."""


class Refusal(Exception):
    """A message that is not taken: the call ends with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Call:
    """One call: an HTTP/2 stream.

    Attributes:
        number: Of the stream.
        path: Such as ``/inspection.v1.Inspection/Inspect``.
        metadata: Header fields by name.
        send_window: Bytes that the peer takes at the moment.
        messages: Received whole and not yet taken.
        is_half_closed: Whether the client sends no more.
        is_over: Whether nothing more may be sent.
        is_busy: Whether a message is being answered; set by whoever takes messages.
        has_begun: Whether the response's headers are sent.
        received: Bytes since the last WINDOW_UPDATE.
    """

    number: int
    path: str
    metadata: Mapping[str, str]
    send_window: int
    messages: deque[bytes] = field(default_factory=deque)
    is_half_closed: bool = False
    is_over: bool = False
    is_busy: bool = False
    has_begun: bool = False
    received: int = 0
    held: int = 0  # bytes of messages that are under way or not yet taken
    _missing: int = -1  # bytes of the message under way; -1: its prefix is not there yet
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0  # bytes in `_parts`

    def take(self) -> bytes:
        """The next message, which is no longer held."""
        message = self.messages.popleft()
        self.held -= len(message)
        return message

    def append(self, payload: bytes, most_bytes: int) -> bool:
        """Take bytes of the stream; gives whether a message became whole.

        Raises:
            Refusal: when a message is longer than `most_bytes`, or compressed.
        """
        before = len(self.messages)
        self._parts.append(payload)
        self._size += len(payload)
        self.held += len(payload)
        while self._size >= (PREFIX.size if self._missing < 0 else self._missing):
            if self._missing < 0:
                self._read_prefix(most_bytes)
            else:
                self._cut()
        return len(self.messages) > before

    def end(self) -> None:
        """Let go of what was received: nobody will take it."""
        self.is_over = True
        self.messages.clear()
        self._parts, self._size, self.held = [], 0, 0

    def _cut(self) -> None:
        parts, length = self._parts, self._missing
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        self.messages.append(whole if self._size == length else whole[:length])
        if len(self.messages) > _MOST_MESSAGES:
            raise Refusal(RESOURCE_EXHAUSTED, "too many messages wait: read the answers")
        rest = whole[length:]
        self._parts, self._size, self._missing = ([rest] if rest else []), len(rest), -1

    def _read_prefix(self, most_bytes: int) -> None:
        if len(self._parts[0]) < PREFIX.size:
            self._parts = [b"".join(self._parts)]
        compressed, length = PREFIX.unpack_from(self._parts[0])
        if compressed:
            raise Refusal(UNIMPLEMENTED, "compressed messages are not taken: send them plain")
        if length > most_bytes:
            raise Refusal(
                RESOURCE_EXHAUSTED,
                f"a message of {length} bytes; at most {most_bytes} are taken",
            )
        self._parts[0] = self._parts[0][PREFIX.size :]
        self._size -= PREFIX.size
        self.held -= PREFIX.size
        self._missing = length
