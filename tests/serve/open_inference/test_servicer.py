"""The protocol over a real server: with NVIDIA's own client, and with a stub for what it hides."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2

from serve import tokens
from serve.client import Client
from serve.protocol import inspection_v1_pb2
from serve.protocol import open_inference_pb2 as pb
from serve.protocol.open_inference_pb2_grpc import GRPCInferenceServiceStub
from serve.replay import read
from serve.server import Server
from serve.tokens import Role
from serve.turns import Stream
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.running import code_of, promote, serving, settings_for

UnaryCall: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"
StreamCall: TypeAlias = "grpc.StreamStreamMultiCallable[bytes, bytes]"
LINE = "turin/press-3"
BRIGHTNESS = (0.2, 0.5, 0.9)
VERDICTS = ["PASS", "REVIEW", "REJECT"]


@pytest.fixture(scope="module")
def answered(
    live: tuple[Server, Client], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """All that `tritonclient` got from the server."""
    folder = tmp_path_factory.mktemp("frames")
    for index, brightness in enumerate(BRIGHTNESS):
        (folder / f"{index}.png").write_bytes(frame(brightness))
    np.save(folder / "pixels.npy", pixels())
    script = Path(__file__).with_name("triton_client.py")
    done = subprocess.run(
        [sys.executable, str(script), live[0].address, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def stub(live: tuple[Server, Client]) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(live[0].address) as channel:
        yield GRPCInferenceServiceStub(channel)


def pixels() -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(frame(0.9), np.uint8), cv2.IMREAD_COLOR_RGB))


def typed(name: str, *values: bytes) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=LINE, id="r-1")
    request.inputs.add(name=name, datatype="BYTES", shape=[len(values)])
    request.inputs[0].contents.bytes_contents.extend(values)
    return request


def test_the_client_finds_server_and_model(answered: dict[str, Any]) -> None:
    assert answered["live"]
    assert answered["ready"]
    assert answered["model_ready"] == [True, True, False, False]
    assert answered["server"]["name"] == "vision-serve"
    model = answered["model"]
    assert (model["name"], model["versions"]) == (LINE, ["1"])
    assert {one["name"]: one["datatype"] for one in model["inputs"]}["pixels"] == "UINT8"
    assert [one["name"] for one in model["outputs"]][:2] == ["verdict", "score"]


def test_the_client_gets_the_verdicts_that_inspection_v1_gives(
    answered: dict[str, Any], live: tuple[Server, Client]
) -> None:
    for brightness, found in zip(BRIGHTNESS, answered["answers"], strict=True):
        request = inspection_v1_pb2.Frame(encoded=frame(brightness), camera="left")
        expected = live[1].stub.Inspect(request, timeout=30).result
        verdict = inspection_v1_pb2.Verdict.Name(expected.verdict)
        assert found["verdict"] == [verdict]
        assert found["score"] == [expected.score]
        assert found["classes"] == [one.name for one in expected.class_scores]
        assert found["class_scores"] == [one.score for one in expected.class_scores]
        assert [one["code"] for one in found["reasons"]] == [one.code for one in expected.reasons]
        assert found["release"] == [expected.release] == [f"{LINE}@1"]
        assert (found["bundle"], found["engine"]) == ([expected.bundle], [expected.engine])
        assert found["version"] == "1"
    assert [found["verdict"][0] for found in answered["answers"]] == VERDICTS


def test_raw_pixels_are_judged_like_the_file(answered: dict[str, Any]) -> None:
    for name in ("pixels", "batch_of_one"):
        assert answered[name]["verdict"] == ["REJECT"]
        assert answered[name]["score"] == answered["answers"][2]["score"]
    assert answered["pixels"]["id"] == "r-1"
    assert answered["pixels"]["frame_id"] == ["r-1"]


def test_outputs_can_be_chosen(answered: dict[str, Any]) -> None:
    assert answered["only"] == ["verdict"]


@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("batch", "INVALID_ARGUMENT", "one frame a request"),
        ("line", "NOT_FOUND", "it has turin/press-3"),
        ("release", "NOT_FOUND", "1 does"),
        ("frame", "INVALID_ARGUMENT", "image format"),
        ("input", "INVALID_ARGUMENT", "no input 'weight'"),
        ("output", "INVALID_ARGUMENT", "no output 'mask'"),
    ],
)
def test_errors_are_statuses_with_our_sentences(
    answered: dict[str, Any], what: str, status: str, said: str
) -> None:
    found, message = answered["errors"][what]
    assert found == f"StatusCode.{status}"
    assert said in message


def test_a_stream_goes_on_after_an_error(answered: dict[str, Any]) -> None:
    *first, error, last = answered["stream"]
    assert (first, last) == (VERDICTS, "PASS")
    assert "not_an_image" in error


def test_requests_at_once_are_all_answered(answered: dict[str, Any]) -> None:
    assert answered["at_once"] == sorted(VERDICTS * 4)


def test_every_judged_frame_is_in_the_spool(
    answered: dict[str, Any], live: tuple[Server, Client]
) -> None:
    (station,) = live[0].stations.values()
    rows = {row["sequence"]: row for row in read(station.spool.folder)}
    for found in answered["answers"]:
        host, boot, sequence = found["decision"][0].rsplit("/", 2)
        row = rows[int(sequence)]
        assert (row["host"], row["boot"]) == (host, boot)
        assert (row["verdict"], row["frame_id"]) == (found["verdict"][0], found["frame_id"][0])
        assert (row["camera"], row["serial"]) == ("left", "p-7")
    assert sum(row.get("error") == "not_an_image" for row in rows.values()) >= 2


def test_our_definition_is_a_part_of_tritons(answered: dict[str, Any]) -> None:
    theirs = descriptor_pb2.FileDescriptorProto.FromString(bytes.fromhex(answered["definition"]))
    ours = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(ours)  # type: ignore[no-untyped-call]
    assert ours.package == theirs.package
    known = {method.name: method for method in theirs.service[0].method}
    assert ours.service[0].name == theirs.service[0].name
    for method in ours.service[0].method:
        assert method == known[method.name] or _bare(method) == _bare(known[method.name])
    _compare(ours.message_type, theirs.message_type)


def _bare(method: descriptor_pb2.MethodDescriptorProto) -> descriptor_pb2.MethodDescriptorProto:
    bare = descriptor_pb2.MethodDescriptorProto()
    bare.CopyFrom(method)
    bare.ClearField("options")
    return bare


def _compare(ours: Any, theirs: Any) -> None:  # noqa: ANN401 - repeated messages
    known = {message.name: message for message in theirs}
    for message in ours:
        fields = {field.name: field for field in known[message.name].field}
        for field in message.field:
            other = fields[field.name]
            assert (field.number, field.type, field.label, field.type_name) == (
                other.number,
                other.type,
                other.label,
                other.type_name,
            ), f"{message.name}.{field.name}"
        _compare(message.nested_type, known[message.name].nested_type)


def test_typed_contents_are_answered_typed(stub: GRPCInferenceServiceStub) -> None:
    response = stub.ModelInfer(typed("frame", frame(0.9)), timeout=30)
    outputs = {one.name: one for one in response.outputs}
    assert list(outputs["verdict"].contents.bytes_contents) == [b"REJECT"]
    assert len(outputs["class_scores"].contents.fp64_contents) == 2
    assert not response.raw_output_contents


def test_an_error_has_its_code_beside_it(stub: GRPCInferenceServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        stub.ModelInfer(typed("frame", frame(0.9), frame(0.9)), timeout=30)
    assert isinstance(raised.value, grpc.Call)
    trailing = dict(raised.value.trailing_metadata() or ())
    assert trailing["error-code"] == "invalid_input"
    assert trailing["frame-id-bin"] == b"r-1"


def test_no_message_at_all_is_told_so(live: tuple[Server, Client]) -> None:
    says = "the message is no ModelInferRequest: send one"
    with grpc.insecure_channel(live[1].target) as channel:
        service = "/inference.GRPCInferenceService"
        ask: UnaryCall = channel.unary_unary(f"{service}/ModelInfer")
        with pytest.raises(grpc.RpcError) as raised:
            ask(b"\xff" * 9, timeout=30)
        assert isinstance(raised.value, grpc.Call)
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert (code_of(raised.value), raised.value.details()) == ("invalid_input", says)
        requests = [b"\xff" * 9, typed("frame", frame(0.9)).SerializeToString()]
        call: StreamCall = channel.stream_stream(f"{service}/ModelStreamInfer")
        answers = map(pb.ModelStreamInferResponse.FromString, call(iter(requests), timeout=30))
        assert [answer.error_message for answer in answers] == [f"invalid_input: {says}", ""]


def test_metadata_of_what_is_not_here(stub: GRPCInferenceServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        stub.ModelMetadata(pb.ModelMetadataRequest(name="no/such"), timeout=30)
    assert isinstance(raised.value, grpc.Call)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_waiting_stream_does_not_hold_up_the_end(tmp_path: Path) -> None:
    promote(Store(str(tmp_path / "store")))
    with serving(tmp_path) as (server, _), grpc.insecure_channel(server.address) as channel:
        stream = GRPCInferenceServiceStub(channel).ModelStreamInfer(iter_forever(), timeout=60)
        assert not next(stream).error_message
    with pytest.raises(grpc.RpcError):
        next(stream)


def iter_forever() -> Iterator[pb.ModelInferRequest]:
    """One request, then nothing for as long as anybody waits."""
    import threading

    yield typed("frame", frame(0.9))
    threading.Event().wait(30)


def test_without_a_release_nothing_is_ready(tmp_path: Path) -> None:
    Store(str(tmp_path / "store")).write("lines/turin/press-3/config/00000001.json", b"{}")
    with serving(tmp_path) as (server, _), grpc.insecure_channel(server.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(pb.ServerLiveRequest(), timeout=30).live
        assert not stub.ServerReady(pb.ServerReadyRequest(), timeout=30).ready
        assert not stub.ModelReady(pb.ModelReadyRequest(name=LINE), timeout=30).ready
        metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name=LINE), timeout=30)
        assert list(metadata.versions) == []
        with pytest.raises(grpc.RpcError) as raised:
            stub.ModelInfer(typed("frame", frame(0.9)), timeout=30)
        assert isinstance(raised.value, grpc.Call)
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_tokens_and_lines_hold_here_too(tmp_path: Path) -> None:
    promote(Store(str(tmp_path / "store")))
    path = tmp_path / "tokens.json"
    inspect, elsewhere, read = (
        tokens.create(path, line, [role])
        for line, role in (
            (LINE, Role.INSPECT),
            ("turin/other", Role.INSPECT),
            (LINE, Role.READ),
        )
    )

    def ask(stub: GRPCInferenceServiceStub, token: str) -> str:
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        call = stub.ModelInfer.future(typed("frame", frame(0.9)), timeout=30, metadata=metadata)
        return str(call.code().name)

    server = Server(settings_for(tmp_path, tokens=path))
    try:
        with grpc.insecure_channel(server.start()) as channel:
            stub = GRPCInferenceServiceStub(channel)
            asked = [ask(stub, token) for token in (inspect, "", elsewhere, read)]
            assert asked == ["OK", "UNAUTHENTICATED", "PERMISSION_DENIED", "PERMISSION_DENIED"]
            assert stub.ServerReady(pb.ServerReadyRequest(), timeout=30).ready
            metadata = (("authorization", f"Bearer {read}"),)
            request = pb.ModelMetadataRequest(name=LINE)
            assert stub.ModelMetadata(request, timeout=30, metadata=metadata).name == LINE
    finally:
        server.drain()


def test_a_frame_that_comes_too_late_is_reviewed_without_a_score(tmp_path: Path) -> None:
    promote(Store(str(tmp_path / "store")))
    with (
        serving(tmp_path, deadline_ms=1, workers=1) as (server, _),
        grpc.insecure_channel(server.address) as channel,
    ):
        assert not server.turns.take(Stream(LINE, "busy"), float("inf"))
        response = GRPCInferenceServiceStub(channel).ModelInfer(
            typed("frame", frame(0.9)), timeout=30
        )
        server.turns.give_back()
    outputs = {one.name: one.contents for one in response.outputs}
    assert list(outputs["verdict"].bytes_contents) == [b"REVIEW"]
    assert np.isnan(outputs["score"].fp64_contents[0])
    (reason,) = json.loads(outputs["reasons"].bytes_contents[0])
    assert reason["code"] == "late"
    assert not outputs["class_scores"].fp64_contents
