from __future__ import annotations

import contextlib
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.frame import RawFrame
from serve.open_inference.frames import incoming
from serve.protocol import open_inference_pb2 as pb
from store.errors import InvalidInput


def frame(about: dict[str, str] | None = None, **parameters: str) -> pb.ModelInferRequest:
    """A request with a frame, and what is said of it as inputs or as parameters."""
    made = pb.ModelInferRequest(model_name="turin/press-3")
    for name, text in {"frame": "data", **(about or {})}.items():
        made.inputs.add(name=name, datatype="BYTES", shape=[1])
        made.raw_input_contents.append(struct.pack("<I", len(text)) + text.encode())
    for name, text in parameters.items():
        made.parameters[name].string_param = text
    return made


def with_number(name: str, number: int) -> pb.ModelInferRequest:
    made = frame()
    made.parameters[name].int64_param = number
    return made


ABOUT = {
    "camera": "top",
    "product": "a",
    "serial": "s-1",
    "frame_id": "f-1",
    "captured_at": "2026-11-21T14:20:05.25+01:00",
}


@pytest.mark.parametrize(
    "request_", [frame(ABOUT), frame(None, **ABOUT)], ids=["inputs", "parameters"]
)
def test_all_that_is_said_of_a_frame(request_: pb.ModelInferRequest) -> None:
    found = incoming(request_, "00-trace")
    assert found.payload == b"data"
    assert (found.camera, found.product, found.serial) == ("top", "a", "s-1")
    assert found.frame_id == "f-1"
    assert found.captured_at == datetime(2026, 11, 21, 13, 20, 5, 250_000, UTC)
    assert found.traceparent == "00-trace"


def test_what_a_client_of_triton_adds_by_itself_is_no_fault() -> None:
    made = frame(None, camera="top")
    made.parameters["triton_enable_empty_final_response"].bool_param = True
    assert incoming(made).camera == "top"


def test_an_input_goes_before_a_parameter() -> None:
    assert incoming(frame({"camera": "top"}, camera="side")).camera == "top"


def test_the_id_of_a_frame_is_the_request_s_or_made() -> None:
    named = frame()
    named.id = "r-1"
    assert incoming(named).frame_id == "r-1"
    assert len(incoming(frame()).frame_id) == 36
    assert incoming(frame()).captured is None


def test_pixels_are_raw_frames() -> None:
    made = pb.ModelInferRequest()
    made.inputs.add(name="pixels", datatype="UINT8", shape=[1, 2, 2, 3])
    made.raw_input_contents.append(bytes(12))
    assert incoming(made).payload == RawFrame(bytes(12), (2, 2, 3), "uint8")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (pb.ModelInferRequest(), "no frame"),
        (frame({"pixels": "x"}), "frame and pixels"),
        (frame({"weight": "1"}), "no input 'weight'"),
        (frame({"captured_at": "yesterday"}), "ISO 8601"),
        (frame(None, camra="top"), "no parameter 'camra'; known are camera, product"),
        (with_number("camera", 3), "parameter camera is given as int64_param"),
        (with_number("line", 3), "no parameter 'line'"),
    ],
)
def test_what_is_not_a_frame_is_refused(made: pb.ModelInferRequest, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        incoming(made)


_NAMES = st.sampled_from(["frame", "pixels", "camera", "captured_at", "other"])
_TENSORS = st.tuples(
    _NAMES,
    st.sampled_from(["BYTES", "UINT8", "FP32", ""]),
    st.lists(st.integers(-2, 4), max_size=5),
    st.binary(max_size=60),
)


@given(st.lists(_TENSORS, max_size=3), st.booleans(), st.text(max_size=9))
def test_whatever_comes_is_a_frame_or_refused(
    tensors: list[tuple[str, str, list[int], bytes]], raw: bool, request_id: str
) -> None:
    made = pb.ModelInferRequest(id=request_id)
    for name, datatype, shape, data in tensors:
        tensor = made.inputs.add(name=name, datatype=datatype, shape=shape)
        if raw:
            made.raw_input_contents.append(data)
        else:
            tensor.contents.bytes_contents.append(data)
            tensor.contents.uint_contents.extend(data)
    with contextlib.suppress(InvalidInput):
        found = incoming(made)
        assert found.payload is not None
        assert found.frame_id
