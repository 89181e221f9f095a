"""HTTP/2 frames and header blocks as bytes (RFC 9113, RFC 7541), as gRPC needs them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable
from enum import IntEnum
from urllib.parse import quote

from hpack import Decoder
from hpack.exceptions import HPACKError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES = 9
LEAST_FRAME_BYTES = 2**14
"""What every peer takes."""

MAX_FRAME_BYTES = 2**18
"""What is taken here: a camera's frame in one or two pieces."""

MAX_HEADER_LIST_BYTES = 2**14

END_STREAM, END_HEADERS, PADDED, PRIORITY_FLAG, ACK = 0x1, 0x4, 0x8, 0x20, 0x1

_HEAD = struct.Struct(">HBBBI")
_MOST_CACHED = 64


class Kind(IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Code(IntEnum):
    """Error codes of HTTP/2."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class Setting(IntEnum):
    """Settings that matter here."""

    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ProtocolError(Exception):
    """The peer broke the protocol; the connection ends with this code."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def frame(kind: Kind, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def parse_head(data: bytes | bytearray, at: int) -> tuple[int, int, int, int]:
    """Length, type, flags and stream of the frame whose nine bytes begin at `at`."""
    high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
    return (high << 8) | low, kind, flags, stream & 0x7FFFFFFF


def settings(values: Iterable[tuple[Setting, int]]) -> bytes:
    """A SETTINGS frame."""
    return frame(Kind.SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in values))


def window_update(stream: int, size: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(Kind.WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def reset(stream: int, code: Code) -> bytes:
    """A RST_STREAM frame."""
    return frame(Kind.RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last_stream: int, code: Code) -> bytes:
    """A GOAWAY frame."""
    return frame(Kind.GOAWAY, 0, 0, struct.pack(">II", last_stream, code))


def literal(name: bytes, value: bytes) -> bytes:
    """A header field without indexing, so that encoder and peer share no state."""
    return b"\x00" + _string(name) + _string(value)


def _string(data: bytes) -> bytes:
    """A string literal without Huffman coding (RFC 7541, 5.2)."""
    length = len(data)
    if length < 127:
        return bytes((length,)) + data
    rest, out = length - 127, bytearray((127,))
    while rest >= 128:
        out.append(rest % 128 + 128)
        rest //= 128
    out.append(rest)
    return bytes(out) + data


# :status 200 is entry 8 of the static table, content-type entry 31.
RESPONSE = b"\x88\x0f\x10" + _string(b"application/grpc")
TRAILERS_OK = literal(b"grpc-status", b"0")


def trailers(status: int, message: str, metadata: Iterable[tuple[str, str | bytes]] = ()) -> bytes:
    """The header block that ends a call with a status; ``-bin`` names take bytes."""
    fields = [literal(b"grpc-status", str(status).encode())]
    if message:
        fields.append(literal(b"grpc-message", quote(message, safe=" !#$&'()*+,/:;=?@[]").encode()))
    for name, value in metadata:
        data = base64.b64encode(value).rstrip(b"=") if isinstance(value, bytes) else value.encode()
        fields.append(literal(name.encode(), data))
    return b"".join(fields)


class HeaderDecoder:
    """Header blocks of one connection; blocks that repeat are not decoded again.

    gRPC clients send the same few bytes with every call. A block means the same again as long as
    the dynamic table is unchanged, so a block that left it unchanged is kept until one changes it.
    """

    def __init__(self) -> None:
        self._decoder = Decoder(MAX_HEADER_LIST_BYTES)
        self._known: dict[bytes, dict[str, str]] = {}

    def decode(self, block: bytes) -> dict[str, str]:
        """Fields by name; of a name that comes twice, the last.

        Raises:
            ProtocolError: when the block is no header block, or too long.
        """
        found = self._known.get(block)
        if found is not None:
            return found
        table = self._decoder.header_table.dynamic_entries
        size, newest = len(table), table[0] if table else None
        try:
            fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
        except (HPACKError, UnicodeDecodeError) as error:
            raise ProtocolError(Code.COMPRESSION_ERROR, f"header block: {error}") from error
        is_changed = len(table) != size or (table[0] if table else None) is not newest
        if is_changed or len(self._known) >= _MOST_CACHED:
            self._known.clear()
        if not is_changed:
            self._known[block] = fields
        return fields
