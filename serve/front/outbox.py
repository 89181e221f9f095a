"""What a connection has to send: frames in order, as far as the peer's windows allow."""

from __future__ import annotations

from collections import deque

from serve.front import frames
from serve.front.call import PREFIX, Call
from serve.front.frames import Code, Kind, ProtocolError

FIRST_WINDOW = 2**16 - 1
MOST_WINDOW = 2**31 - 1


class Outbox:
    """Frames for the peer; `data` is what the socket is to be given."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.first_window = FIRST_WINDOW  # of the peer's new streams
        self._window = FIRST_WINDOW
        self._frame_bytes = frames.LEAST_FRAME_BYTES
        self._blocked: deque[tuple[Call, bytes, bytes]] = deque()

    def message(self, call: Call, data: bytes, after: bytes = b"") -> list[Call]:
        """Send a message and then the frame that ends the call, if any; gives calls over now."""
        if not call.has_begun:
            call.has_begun = True
            flags = frames.END_HEADERS
            self.data += frames.frame(Kind.HEADERS, flags, call.number, frames.RESPONSE)
        self._blocked.append((call, PREFIX.pack(0, len(data)) + data, after))
        return self.unblock()

    def finish(self, call: Call, last: bytes) -> bool:
        """Send the frame that ends a call after all that waits; gives whether it was sent."""
        if any(entry[0] is call for entry in self._blocked):
            self._blocked.append((call, b"", last))
            return False
        self._end(call, last)
        return True

    def forget(self, call: Call) -> None:
        """Send nothing more of a call."""
        self._blocked = deque(entry for entry in self._blocked if entry[0] is not call)

    def widen(self, call: Call | None, size: int) -> list[Call]:
        """Take a WINDOW_UPDATE, of a call or of the connection; gives calls that are over now.

        Raises:
            ProtocolError: when the window is zero or too large.
        """
        if call is None:
            self._window += size
            window = self._window
        else:
            call.send_window += size
            window = call.send_window
        if size == 0 or window > MOST_WINDOW:
            raise ProtocolError(Code.FLOW_CONTROL_ERROR, "the window is zero or too large")
        return self.unblock() if self._blocked else []

    def use_frames_of(self, size: int) -> None:
        """Take the peer's largest frame.

        Raises:
            ProtocolError: when there is no such size.
        """
        if not frames.LEAST_FRAME_BYTES <= size < 2**24:
            raise ProtocolError(Code.PROTOCOL_ERROR, "no such frame size")
        self._frame_bytes = size

    def unblock(self) -> list[Call]:
        """Send what waits, in order for each call; gives calls that are over now."""
        waiting, self._blocked = self._blocked, deque()
        stuck: set[int] = set()
        over = []
        for call, data, after in waiting:
            rest = data if call.number in stuck else self._part(call, data)
            if rest or call.number in stuck:
                stuck.add(call.number)
                self._blocked.append((call, rest, after))
            elif after:
                self._end(call, after)
                over.append(call)
        return over

    def _part(self, call: Call, data: bytes) -> bytes:
        """Send as much as the windows allow; gives the rest."""
        while data:
            size = min(len(data), self._window, call.send_window, self._frame_bytes)
            if size <= 0:
                break
            self.data += frames.frame(Kind.DATA, 0, call.number, data[:size])
            self._window -= size
            call.send_window -= size
            data = data[size:]
        return data

    def _end(self, call: Call, last: bytes) -> None:
        """Send the last frame of a call; a client that still sends is told to stop."""
        self.data += last
        if not call.is_half_closed:
            self.data += frames.reset(call.number, Code.NO_ERROR)
