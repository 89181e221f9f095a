"""Frames and header blocks, against the library that others use."""

from __future__ import annotations

import base64
from urllib.parse import unquote

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from serve.front import frames
from serve.front.frames import HeaderDecoder, Kind, ProtocolError

NAMES = st.sampled_from([":path", "grpc-timeout", "x-a", "x-b", "te"])
VALUES = st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=200)
FIELDS = st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=6)


@given(kind=st.sampled_from(Kind), flags=st.integers(0, 255), payload=st.binary(max_size=70_000))
def test_head_of_a_frame_survives(kind: Kind, flags: int, payload: bytes) -> None:
    data = frames.frame(kind, flags, 2**31 - 1, payload)
    assert frames.parse_head(data, 0) == (len(payload), kind, flags, 2**31 - 1)
    assert data[frames.HEADER_BYTES :] == payload


@given(st.binary(min_size=1, max_size=20), st.binary(max_size=70_000))
def test_literals_are_read_by_the_library(name: bytes, value: bytes) -> None:
    decoder = Decoder(2**20)
    assert list(decoder.decode(frames.literal(name, value), raw=True)) == [(name, value)]
    assert not decoder.header_table.dynamic_entries


@given(st.text(max_size=100), st.binary(max_size=50))
def test_status_and_message_are_read_by_the_library(message: str, binary: bytes) -> None:
    block = frames.RESPONSE + frames.trailers(5, message, [("a-bin", binary), ("code", "x")])
    found = {str(name): str(value) for name, value in Decoder().decode(block)}
    assert (found[":status"], found["content-type"]) == ("200", "application/grpc")
    assert found["grpc-status"] == "5"
    assert unquote(found.get("grpc-message", "")) == message
    padding = "=" * (-len(found["a-bin"]) % 4)
    assert base64.b64decode(found["a-bin"] + padding) == binary


@given(st.lists(st.tuples(FIELDS, st.booleans()), max_size=30), st.integers(0, 200))
def test_blocks_mean_what_the_library_says_however_often_they_come(
    calls: list[tuple[list[tuple[str, str]], bool]], table: int
) -> None:
    encoder, ours, reference = Encoder(), HeaderDecoder(), Decoder()
    for number, (fields, huffman) in enumerate(calls):
        if number == len(calls) // 2:
            encoder.header_table_size = table  # entries are evicted
        for _ in range(3):
            block = encoder.encode(fields, huffman=huffman)
            expected = {str(name): str(value) for name, value in reference.decode(block)}
            assert ours.decode(block) == expected


@pytest.mark.parametrize("block", [b"\xff\xff\xff\xff\xff", b"\x80", b"\x00\x05ab"])
def test_what_is_no_header_block_ends_the_connection(block: bytes) -> None:
    with pytest.raises(ProtocolError, match="header block"):
        HeaderDecoder().decode(block)


def test_a_header_list_has_a_limit() -> None:
    block = b"".join(frames.literal(b"x", bytes(1000)) for _ in range(20))
    with pytest.raises(ProtocolError, match="larger than"):
        HeaderDecoder().decode(block)
