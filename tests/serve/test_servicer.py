"""`inspection.v1` as a client sees it: real gRPC over a socket, a real bundle, real frames."""

from __future__ import annotations

import hashlib
import struct
import threading
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from inspection.inspector import FrameContext
from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from serve.replay import read
from serve.server import Server
from store.root import Store
from tests.data.bundle.generate import CLASSES, frame
from tests.serve.running import LINE, code_of, failure, promote, serving, station, wait_until_live

Live = tuple[Server, Client]
Unary: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"
Stream: TypeAlias = "grpc.StreamStreamMultiCallable[bytes, bytes]"
FRONTS = pytest.mark.parametrize("is_fast", [False, True], ids=["grpcio", "fast"])
INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture(scope="module", params=[False, True], ids=["grpcio", "fast"])
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """A server with a colour bundle behind either front, shared by the tests of this module."""
    folder = tmp_path_factory.mktemp("live")
    promote(Store(str(folder / "store")))
    with serving(folder, is_fast=request.param) as both:
        yield both


def pixels(brightness: float = 0.9) -> NDArray[np.uint8]:
    """The RGB pixels of a tiny frame."""
    bgr = cv2.imdecode(np.frombuffer(frame(brightness), np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.ascontiguousarray(bgr[:, :, ::-1], np.uint8)


def encoded(suffix: str, image: NDArray[Any]) -> bytes:
    ok, data = cv2.imencode(suffix, image)
    assert ok
    return data.tobytes()


def bomb(side: int = 10_000) -> bytes:
    """A PNG whose header promises side x side pixels; decoding it would take 300 MB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def cmyk(folder: Path) -> bytes:
    Image.new("CMYK", (48, 48)).save(folder / "cmyk.jpg")
    return (folder / "cmyk.jpg").read_bytes()


def raw(
    data: bytes | None = None, shape: tuple[int, ...] = (48, 48, 3), dtype: str = "uint8"
) -> pb.Frame:
    content = pixels().tobytes() if data is None else data
    return pb.Frame(raw=pb.RawPixels(data=content, shape=shape, dtype=dtype))


@pytest.mark.parametrize(
    ("brightness", "verdict"), [(0.2, pb.PASS), (0.5, pb.REVIEW), (0.9, pb.REJECT)]
)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
def test_every_format_gets_its_verdict(
    live: Live, suffix: str, brightness: float, verdict: pb.Verdict
) -> None:
    data = encoded(suffix, pixels(brightness)[:, :, ::-1])
    answer = live[1].stub.Inspect(pb.Frame(encoded=data))
    assert answer.WhichOneof("outcome") == "result"
    assert answer.result.verdict == verdict


def test_answer_is_what_the_inspector_says(live: Live) -> None:
    server, client = live
    data = frame(0.5)
    answer = client.stub.Inspect(pb.Frame(encoded=data, frame_id="f-1", camera="left"))
    release = station(server).watcher.live()
    assert release is not None
    expected = release.inspector.inspect(data, FrameContext(camera="left"))
    assert answer.frame_id == "f-1"
    assert answer.result.score == expected.verdict.score
    assert [row.name for row in answer.result.class_scores] == list(CLASSES)
    scores = [row.score for row in answer.result.class_scores]
    assert scores == expected.outputs.class_scores[0].tolist()
    found = [(r.code, r.name, r.value, r.limit) for r in answer.result.reasons]
    assert found == [(r.code, r.name, r.value, r.limit) for r in expected.verdict.reasons]
    places = [r.HasField("x") for r in answer.result.reasons]
    assert places == [r.x is not None for r in expected.verdict.reasons]
    assert answer.result.release == "turin/press-3@1"
    assert answer.result.bundle == release.bundle.name
    assert answer.result.engine == "onnxruntime graph.onnx"
    timings = answer.timings
    assert 0 < timings.engine_ms < timings.total_ms
    assert 0 < timings.decode_ms < timings.total_ms


def test_raw_pixels_get_the_same_answer_as_the_file(live: Live) -> None:
    from_file = live[1].stub.Inspect(pb.Frame(encoded=frame(0.9)))
    from_pixels = live[1].stub.Inspect(raw())
    assert from_pixels.result.score == from_file.result.score


def test_decision_is_a_row_with_its_context(live: Live) -> None:
    server, client = live
    captured = datetime(2026, 3, 4, 5, 6, 7, 890_000, UTC)
    stamp = Timestamp()
    stamp.FromDatetime(captured)
    request = pb.Frame(
        encoded=frame(0.9),
        frame_id="f-2",
        camera="left",
        product="lid",
        serial="s-17",
        captured_at=stamp,
    )
    answer = client.stub.Inspect(request)
    row = next(read(server.settings.spool_folder(LINE), answer.decision.sequence))
    assert (row["host"], row["boot"], row["sequence"]) == (
        answer.decision.host,
        answer.decision.boot,
        answer.decision.sequence,
    )
    given = ("frame_id", "camera", "product", "serial")
    assert [row[name] for name in given] == ["f-2", "left", "lid", "s-17"]
    assert datetime.fromisoformat(row["captured_at"]) == captured
    assert row["content_hash"] == hashlib.sha256(request.encoded).hexdigest()
    assert (row["line"], row["release"]) == ("turin/press-3", "turin/press-3@1")
    assert (row["verdict"], row["score"]) == ("REJECT", answer.result.score)
    assert [reason["code"] for reason in row["reasons"]] == ["score", "class"]
    assert row["thresholds"]["reject_from"] == 0.8
    release = station(server).watcher.live()
    assert release is not None
    graph = release.bundle.graph_path().read_bytes()
    assert row["graph_hash"] == hashlib.sha256(graph).hexdigest()
    assert row["engine_build"].startswith("onnxruntime ")
    assert row["statistics"]["brightness"] > 0
    assert row["stats_version"] == release.bundle.contract.stats_version
    assert row["decode_ms"] > 0 < row["engine_ms"]
    assert "error" not in row


def test_frame_without_anything_said_of_it_is_judged(live: Live) -> None:
    server, client = live
    answer = client.stub.Inspect(pb.Frame(encoded=frame(0.2)))
    row = next(read(server.settings.spool_folder(LINE), answer.decision.sequence))
    assert answer.frame_id == row["frame_id"] != ""
    assert row["captured_at"] is None
    assert row["camera"] == ""


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "text": (b"hello, this is no image", "not_an_image"),
    "gif": (b"GIF89a" + bytes(100), "unsupported_format"),
    "16 bits": (encoded(".png", np.zeros((48, 48, 3), np.uint16)), "sixteen_bit"),
    "grey": (encoded(".png", np.zeros((48, 48), np.uint8)), "wrong_channels"),
    "bomb": (bomb(), "too_large"),
    "cut PNG": (frame(0.5)[:-200], "truncated"),
    "cut JPEG": (encoded(".jpg", pixels())[:-300], "truncated"),
    "header only": (b"\x89PNG\r\n\x1a\n", "truncated"),
    "JPEG of zeros": (b"\xff\xd8\xff" + bytes(500), "truncated"),
}


@pytest.mark.parametrize(("data", "code"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_file_gets_a_precise_status_and_a_row(live: Live, data: bytes, code: str) -> None:
    server, client = live
    status, found, message = failure(client, pb.Frame(encoded=data, frame_id=f"bad-{code}"))
    assert (status, found) == (INVALID, code)
    assert message
    *_, row = read(server.settings.spool_folder(LINE))
    assert (row["frame_id"], row["error"], row["status"]) == (f"bad-{code}", code, status.name)
    assert row["message"] == message
    assert "verdict" not in row
    assert client.stub.Inspect(pb.Frame(encoded=frame(0.9))).result.verdict == pb.REJECT


def test_cmyk_is_refused(live: Live, tmp_path: Path) -> None:
    assert failure(live[1], pb.Frame(encoded=cmyk(tmp_path)))[:2] == (INVALID, "unsupported_mode")


BAD_RAW: dict[str, tuple[pb.Frame, str, str]] = {
    "16 bits": (raw(dtype="uint16"), "sixteen_bit", "expected 'uint8'"),
    "float": (raw(dtype="float32"), "unsupported_mode", "float32"),
    "no dtype": (raw(dtype=""), "unsupported_mode", "''"),
    "no shape": (raw(shape=()), "wrong_shape", "H x W"),
    "one axis": (raw(shape=(6912,)), "wrong_shape", "H x W"),
    "four axes": (raw(shape=(1, 48, 48, 3)), "wrong_shape", "H x W"),
    "zero axis": (raw(shape=(48, 0, 3)), "wrong_shape", "H x W"),
    "too few bytes": (raw(data=bytes(6911)), "wrong_shape", "6912"),
    "too many bytes": (raw(data=bytes(6913)), "wrong_shape", "6912"),
    "no bytes": (raw(data=b""), "empty", "no bytes"),
    "grey": (raw(data=bytes(48 * 48), shape=(48, 48)), "wrong_channels", "3 channels"),
    "four channels": (raw(data=bytes(48 * 48 * 4), shape=(48, 48, 4)), "wrong_channels", "3"),
    "bomb": (raw(shape=(2**32 - 1, 2**32 - 1, 3)), "too_large", "50000000"),
}


@pytest.mark.parametrize(("request_", "code", "says"), BAD_RAW.values(), ids=BAD_RAW.keys())
def test_bad_raw_pixels_get_a_precise_status(
    live: Live, request_: pb.Frame, code: str, says: str
) -> None:
    status, found, message = failure(live[1], request_)
    assert (status, found) == (INVALID, code)
    assert says in message


HUGE = "x" * 400_000
HUGE_REQUESTS = {
    "shape": raw(shape=(1,) * 300_000),
    "dtype": raw(dtype=HUGE),
    "frame_id": pb.Frame(encoded=b"x", frame_id=HUGE),
    "camera": pb.Frame(encoded=b"x", camera=HUGE),
    "product": pb.Frame(encoded=b"x", product=HUGE),
    "serial": pb.Frame(encoded=b"x", serial=HUGE),
}


def test_huge_fields_get_short_answers_and_rows_and_no_stream_ends(live: Live) -> None:
    server, client = live
    first = station(server).spool.state().next_sequence
    requests = [*HUGE_REQUESTS.values(), pb.Frame(encoded=frame(0.9))]
    *refused, judged = client.stub.InspectStream(iter(requests))
    assert [answer.error.status for answer in refused] == [3] * len(HUGE_REQUESTS)
    assert judged.result.verdict == pb.REJECT
    rows = list(read(server.settings.spool_folder(LINE), first))
    assert len(rows) == len(requests)
    assert max(answer.ByteSize() for answer in refused) < 1500
    assert max(len(str(row)) for row in rows[:-1]) < 1500


@pytest.mark.parametrize("request_", HUGE_REQUESTS.values(), ids=HUGE_REQUESTS.keys())
def test_huge_fields_end_a_call_with_a_status(live: Live, request_: pb.Frame) -> None:
    assert failure(live[1], request_)[0] == INVALID


LONG = "x" * 201
BAD_FIELDS: dict[str, tuple[pb.Frame, str]] = {
    "nothing": (pb.Frame(), "no payload"),
    "frame_id": (pb.Frame(encoded=b"x", frame_id=LONG), "frame_id has 201"),
    "camera": (pb.Frame(encoded=b"x", camera=LONG), "camera has 201"),
    "product": (pb.Frame(encoded=b"x", product=LONG), "product has 201"),
    "serial": (pb.Frame(encoded=b"x", serial=LONG), "serial has 201"),
    "captured_at": (
        pb.Frame(encoded=b"x", captured_at=Timestamp(seconds=2**62)),
        "captured_at",
    ),
}


@pytest.mark.parametrize(("request_", "says"), BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
def test_bad_field_is_named(live: Live, request_: pb.Frame, says: str) -> None:
    status, code, message = failure(live[1], request_)
    assert (status, code) == (INVALID, "invalid_input")
    assert says in message


def test_all_bad_fields_are_named_at_once(live: Live) -> None:
    message = failure(live[1], pb.Frame(camera=LONG, serial=LONG))[2]
    assert all(name in message for name in ("payload", "camera", "serial"))


def test_stream_answers_in_order_and_goes_on_after_bad_frames(live: Live) -> None:
    good = {0: pb.PASS, 1: pb.REVIEW, 2: pb.REJECT}
    frames = []
    for number in range(60):
        data = frame((0.2, 0.5, 0.9)[number % 3]) if number % 4 else b"broken"
        frames.append(pb.Frame(encoded=data, frame_id=str(number)))
    answers = list(live[1].stub.InspectStream(iter(frames)))
    assert [answer.frame_id for answer in answers] == [str(number) for number in range(60)]
    for number, answer in enumerate(answers):
        if number % 4:
            assert answer.result.verdict == good[number % 3]
        else:
            assert (answer.error.code, answer.error.status) == ("not_an_image", 3)
            assert answer.error.message
            assert answer.result.verdict == pb.VERDICT_UNSPECIFIED
    sequences = [answer.decision.sequence for answer in answers]
    assert sequences == sorted(set(sequences))


def test_stream_answers_each_frame_before_the_next_is_sent(live: Live) -> None:
    answered = threading.Event()

    def frames() -> Iterator[pb.Frame]:
        for number in range(3):
            yield pb.Frame(encoded=frame(0.2), frame_id=str(number))
            assert answered.wait(timeout=20)
            answered.clear()

    for number, answer in enumerate(live[1].stub.InspectStream(frames())):
        assert answer.frame_id == str(number)
        answered.set()


NO_MESSAGE = b"\xff" * 9


@pytest.mark.parametrize(
    ("method", "what"), [("Inspect", "inspection.v1.Frame"), ("GetServerInfo", "ServerInfoRequest")]
)
def test_no_message_at_all_is_told_so(live: Live, method: str, what: str) -> None:
    with grpc.insecure_channel(live[1].target) as channel:
        call: Unary = channel.unary_unary(f"/inspection.v1.Inspection/{method}")
        with pytest.raises(grpc.RpcError) as raised:
            call(NO_MESSAGE, timeout=30)
    assert isinstance(raised.value, grpc.Call)
    assert raised.value.code() == INVALID
    assert code_of(raised.value) == "invalid_input"
    assert raised.value.details() == f"the message is no {what}: send one"


def test_no_message_at_all_ends_no_stream(live: Live) -> None:
    requests = [NO_MESSAGE, pb.Frame(encoded=frame(0.9)).SerializeToString(), b""]
    with grpc.insecure_channel(live[1].target) as channel:
        call: Stream = channel.stream_stream("/inspection.v1.Inspection/InspectStream")
        answers = [pb.Answer.FromString(data) for data in call(iter(requests), timeout=30)]
    assert [answer.WhichOneof("outcome") for answer in answers] == ["error", "result", "error"]
    assert answers[0].error.code == "invalid_input"
    assert answers[0].error.message == "the message is no inspection.v1.Frame: send one"
    assert answers[2].error.code == "invalid_input"  # a Frame, but one without a payload


def test_vanished_client_disturbs_nobody(live: Live) -> None:
    call = live[1].stub.InspectStream(iter([pb.Frame(encoded=frame(0.2))] * 50))
    next(call)
    call.cancel()
    assert live[1].stub.Inspect(pb.Frame(encoded=frame(0.9))).result.verdict == pb.REJECT


def test_many_clients_each_get_their_own_answer(live: Live) -> None:
    wrong: list[str] = []
    seen: list[int] = []
    address = live[1].target

    def ask(thread: int) -> None:
        with Client(address) as client:
            for number in range(25):
                name = f"{thread}-{number}"
                bright = (thread + number) % 2
                request = pb.Frame(encoded=frame(0.9 if bright else 0.2), frame_id=name)
                answer = client.stub.Inspect(request)
                expected = pb.REJECT if bright else pb.PASS
                if (answer.frame_id, answer.result.verdict) != (name, expected):
                    wrong.append(name)
                seen.append(answer.decision.sequence)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(set(seen)) == 200


@given(data=st.binary(max_size=300), start=st.sampled_from([b"", b"\xff\xd8\xff", b"BM", b"II*\0"]))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_bytes_never_get_a_verdict(live: Live, start: bytes, data: bytes) -> None:
    assert failure(live[1], pb.Frame(encoded=start + data))[0] == INVALID


@given(
    position=st.integers(0, 10_000),
    junk=st.binary(min_size=1, max_size=20),
    suffix=st.sampled_from([".png", ".jpg", ".bmp", ".tiff"]),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_files_are_judged_or_refused_but_never_break_the_server(
    live: Live, position: int, junk: bytes, suffix: str
) -> None:
    data = bytearray(encoded(suffix, pixels()))
    start = position % len(data)
    data[start : start + len(junk)] = junk
    answers = list(live[1].stub.InspectStream(iter([pb.Frame(encoded=bytes(data))])))
    assert answers[0].WhichOneof("outcome") == "result" or answers[0].error.status == 3


@FRONTS
def test_grey_bundle_takes_grey_frames_only(tmp_path: Path, store: Store, is_fast: bool) -> None:
    promote(store, channels=1)
    grey = np.full((48, 48), 40, np.uint8)
    with serving(tmp_path, is_fast=is_fast) as (_, client):
        for request in (
            pb.Frame(encoded=encoded(".png", grey)),
            raw(grey.tobytes(), (48, 48)),
            raw(grey.tobytes(), (48, 48, 1)),
        ):
            assert client.stub.Inspect(request).result.verdict == pb.PASS
        for request in (pb.Frame(encoded=frame(0.2)), raw()):
            assert failure(client, request)[:2] == (INVALID, "wrong_channels")


@FRONTS
def test_without_a_release_nothing_is_passed(tmp_path: Path, store: Store, is_fast: bool) -> None:
    with serving(tmp_path, is_fast=is_fast) as (server, client):
        request = pb.Frame(encoded=frame(0.2))
        status, code, message = failure(client, request)
        assert (status, code) == (grpc.StatusCode.FAILED_PRECONDITION, "no_release")
        assert "promote" in message
        (answer,) = client.stub.InspectStream(iter([request]))
        assert answer.error.code == "no_release"
        assert client.info().release == ""
        promote(store)
        wait_until_live(server, 1)
        assert client.stub.Inspect(request).result.verdict == pb.PASS
    errors = [row.get("error") for row in read(tmp_path / "spool")]
    assert errors == ["no_release", "no_release", None]


@FRONTS
def test_limits_are_the_settings(tmp_path: Path, store: Store, is_fast: bool) -> None:
    promote(store)
    with serving(tmp_path, is_fast=is_fast, max_message_mib=1, max_pixels=48 * 47) as (_, client):
        assert failure(client, pb.Frame(encoded=bytes(2**20)))[0] == EXHAUSTED
        for request in (pb.Frame(encoded=frame(0.2)), raw()):
            assert failure(client, request)[:2] == (INVALID, "too_large")


def test_more_callers_than_allowed_are_told(tmp_path: Path, store: Store) -> None:
    promote(store)
    stop = threading.Event()

    def frames() -> Iterator[pb.Frame]:
        yield pb.Frame(encoded=frame(0.2))
        stop.wait(timeout=30)

    with serving(tmp_path, callers=1) as (_, client):
        stream = client.stub.InspectStream(frames())
        assert next(stream).result.verdict == pb.PASS
        assert failure(client, pb.Frame(encoded=frame(0.2)))[0] == EXHAUSTED
        stop.set()
        assert list(stream) == []
