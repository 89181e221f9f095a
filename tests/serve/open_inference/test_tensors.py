"""Tensors as clients send them: what was put in comes out, and everything else is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.open_inference.tensors import add_output, inputs_of
from serve.protocol import open_inference_pb2 as pb
from store.errors import InvalidInput


def request(datatype: str, shape: list[int], raw: bytes | None = None) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest()
    made.inputs.add(name="x", datatype=datatype, shape=shape)
    if raw is not None:
        made.raw_input_contents.append(raw)
    return made


def element(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


@given(st.binary(max_size=100), st.sampled_from([[1], [1, 1]]))
def test_an_element_comes_out_as_it_went_in(data: bytes, shape: list[int]) -> None:
    assert inputs_of(request("BYTES", shape, element(data)))["x"].one_of_bytes() == data
    typed = request("BYTES", shape)
    typed.inputs[0].contents.bytes_contents.append(data)
    assert inputs_of(typed)["x"].one_of_bytes() == data


@given(st.binary(max_size=40))
def test_raw_bytes_are_one_element_or_refused(raw: bytes) -> None:
    tensor = inputs_of(request("BYTES", [1], raw))["x"]
    if len(raw) >= 4 and raw == element(raw[4:]):
        assert tensor.one_of_bytes() == raw[4:]
        return
    with pytest.raises(InvalidInput, match="expected one element"):
        tensor.one_of_bytes()


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([(), (1,), (3,)]), st.booleans())
def test_pixels_come_out_as_they_went_in(
    height: int, width: int, channels: tuple[int, ...], is_typed: bool
) -> None:
    shape = (height, width, *channels)
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    made = request("UINT8", list(shape), None if is_typed else pixels.tobytes())
    if is_typed:
        made.inputs[0].contents.uint_contents.extend(pixels.ravel().tolist())
    assert inputs_of(made)["x"].pixels() == (pixels.tobytes(), shape)
    if channels:
        made.inputs[0].shape.insert(0, 1)
        assert inputs_of(made)["x"].pixels() == (pixels.tobytes(), shape)


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "said"),
    [
        ("UINT8", [2, 4, 4, 3], bytes(96), "one frame a request"),
        ("FP32", [4, 4, 3], bytes(192), "FP32 of shape"),
        ("UINT8", [4], bytes(4), "expected UINT8 of shape"),
        ("UINT8", [4, -4, 3], bytes(48), "expected sizes above 0"),
        ("UINT8", [4, 4, 3], bytes(47), "takes 48"),
        ("UINT8", [1] * 500, b"", "…"),
    ],
)
def test_other_pixels_are_refused(datatype: str, shape: list[int], raw: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        inputs_of(request(datatype, shape, raw))["x"].pixels()


def test_typed_pixels_end_at_255() -> None:
    made = request("UINT8", [1, 1])
    made.inputs[0].contents.uint_contents.append(256)
    with pytest.raises(InvalidInput, match="256"):
        inputs_of(made)["x"].pixels()


@pytest.mark.parametrize(
    ("datatype", "shape"), [("BYTES", [2]), ("UINT8", [1]), ("BYTES", []), ("BYTES", [1, 1, 1])]
)
def test_a_frame_is_one_element(datatype: str, shape: list[int]) -> None:
    with pytest.raises(InvalidInput, match="one frame a request"):
        inputs_of(request(datatype, shape, element(b"x")))["x"].one_of_bytes()


def test_names_and_contents_must_fit() -> None:
    made = request("BYTES", [1], element(b"x"))
    made.raw_input_contents.append(b"")
    with pytest.raises(InvalidInput, match="1 inputs and 2 raw contents"):
        inputs_of(made)
    twice = pb.ModelInferRequest()
    for _ in range(2):
        twice.inputs.add(name="x", datatype="BYTES", shape=[1])
    with pytest.raises(InvalidInput, match="twice"):
        inputs_of(twice)
    shared = request("BYTES", [1], element(b"x"))
    shared.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(InvalidInput, match="shared memory"):
        inputs_of(shared)


def test_text_is_utf_8() -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        inputs_of(request("BYTES", [1], element(b"\xff")))["x"].text()


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=4), st.booleans())
def test_outputs_of_bytes(values: list[bytes], raw: bool) -> None:
    response = pb.ModelInferResponse()
    add_output(response, "y", values, raw)
    (tensor,) = response.outputs
    assert (tensor.datatype, list(tensor.shape)) == ("BYTES", [len(values)])
    if raw:
        assert list(response.raw_output_contents) == [b"".join(map(element, values))]
    else:
        assert list(tensor.contents.bytes_contents) == values


@given(st.lists(st.floats(allow_nan=False), max_size=4), st.booleans())
def test_outputs_of_numbers(values: list[float], raw: bool) -> None:
    response = pb.ModelInferResponse()
    add_output(response, "y", values, raw)
    (tensor,) = response.outputs
    assert (tensor.datatype, list(tensor.shape)) == ("FP64", [len(values)])
    if raw:
        assert np.frombuffer(response.raw_output_contents[0], "<f8").tolist() == values
    else:
        assert list(tensor.contents.fp64_contents) == values
