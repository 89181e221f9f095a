"""Whatever a client sends, no log line, metric, span or row holds its pixels or its token."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from serve import logs, tokens
from serve.client import Client
from serve.logs import JsonFormatter
from serve.protocol import inspection_v1_pb2 as pb
from serve.tokens import Role
from serve.transport import ClientTls
from store.root import Store
from tests.inspection.test_bombs import png
from tests.serve.running import LINE, promote, serving

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is missing")

# Each pixel has three equal bytes, so that it reads the same in files of BGR order.
MARK = b"PPPIIIXXXEEELLLSSSOOOFFF"
# A file of no known format is told by its first 8 bytes; anything longer would be pixels.
TOLD = 12
SERIAL = "serial-of-a-secret-part"
SIDE = 48


class Sink(HTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.bodies: list[bytes] = []


class _Post(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def collector() -> Iterator[Sink]:
    sink = Sink()
    thread = threading.Thread(target=sink.serve_forever, args=(0.01,))
    thread.start()
    yield sink
    sink.shutdown()
    thread.join()
    sink.server_close()


def pixels() -> bytes:
    """Raw colour pixels that are nothing but the mark."""
    size = SIDE * SIDE * 3
    return (MARK * (size // len(MARK) + 1))[:size]


def frames() -> dict[str, pb.Frame]:
    """Frames that are judged and frames that are not, each full of the mark."""
    raw, shape = pixels(), (SIDE, SIDE, 3)
    image = Image.fromarray(np.frombuffer(raw, np.uint8).reshape(shape))
    rows = b"".join(b"\0" + raw[start : start + 3 * SIDE] for start in range(0, len(raw), 3 * SIDE))
    tags = {270: MARK.decode()}  # the description; a library would log it
    files = {"PNG": png(SIDE, SIDE, zlib.compress(rows, 0))}
    for kind, options in (("BMP", {}), ("TIFF", {"tiffinfo": tags})):
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files[kind] = buffer.getvalue()
    assert all(MARK in data for data in files.values())
    payloads: dict[str, dict[str, object]] = {
        **{kind: {"encoded": data} for kind, data in files.items()},
        "cut": {"encoded": files["BMP"][:-1000]},
        "spoilt": {"encoded": files["PNG"][:60] + MARK * 40 + files["PNG"][1020:]},
        "none": {"encoded": MARK * 100},
        "jpeg-none": {"encoded": b"\xff\xd8\xff" + MARK * 100},
        "tiff-none": {"encoded": b"II*\0" + MARK * 100},
        "raw": {"raw": pb.RawPixels(data=raw, shape=shape, dtype="uint8")},
        "raw-shape": {"raw": pb.RawPixels(data=raw, shape=(1, 2, 3), dtype="uint8")},
        "raw-dtype": {"raw": pb.RawPixels(data=raw, shape=shape, dtype="float32")},
    }
    return {
        name: pb.Frame(serial=SERIAL, camera=name, **payload)  # type: ignore[arg-type]
        for name, payload in payloads.items()
    }


@contextmanager
def logging_as_in_the_server(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Everything that `vision-serve run --log-level debug` would log is in `caplog`."""
    root, ours = (
        logging.getLogger(),
        [logging.getLogger(n) for n in ("serve", "inspection", "store")],
    )
    before, handlers = [(logger, logger.level) for logger in (root, *ours)], root.handlers[:]
    logs.set_up("debug")
    root.addHandler(caplog.handler)
    caplog.handler.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for logger, level in before:
            logger.setLevel(level)


def spellings(secret: bytes) -> set[bytes]:
    """The ways in which bytes might be written down."""
    whole = {start: len(secret) - (len(secret) - start) % 3 for start in range(3)}
    encoded = {base64.b64encode(secret[start:end]) for start, end in whole.items()}
    text = secret.decode()
    listed = ", ".join(map(str, secret)).encode()
    return {secret, secret.hex().encode(), secret.hex(" ").encode(), listed, *encoded} | {
        json.dumps(text).strip('"').encode()
    }


def test_nothing_that_leaves_the_server_holds_pixels_or_tokens(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture, collector: Sink
) -> None:
    promote(store)
    file, token_file = tmp_path / "tokens.json", tmp_path / "token"
    token_file.write_text(tokens.create(file, str(LINE), [Role.INSPECT, Role.READ]))
    secret = token_file.read_text().rpartition("_")[2].encode()
    given: dict[str, Any] = {
        "tokens": file,
        "monitor": "127.0.0.1:0",
        "otlp": f"http://127.0.0.1:{collector.server_address[1]}/v1/traces",
        "trace_share": 1.0,
        "log_level": "debug",
    }
    with logging_as_in_the_server(caplog), serving(tmp_path, **given) as (server, anonymous):
        with Client(anonymous.target, tls=ClientTls(token_file=token_file)) as client:
            judged = 0
            for request in frames().values():
                try:
                    client.stub.Inspect(request)
                    judged += 1
                except grpc.RpcError:
                    (answer,) = client.stub.InspectStream(iter([request]))
                    assert answer.WhichOneof("outcome") == "error"
            assert judged == 4
        with pytest.raises(grpc.RpcError):
            anonymous.stub.Inspect(frames()["BMP"], metadata=(("authorization", "Bearer vst_x"),))
        address = server.operations.monitor_address
        asked = urllib.request.Request(f"http://{address}/metrics")
        asked.add_header("Authorization", f"Bearer {token_file.read_text()}")
        with urllib.request.urlopen(asked, timeout=10) as page:
            metrics = page.read()
    logs = "\n".join(map(JsonFormatter().format, caplog.records)).encode()
    spool = b"".join(path.read_bytes() for path in (tmp_path / "spool").glob("*.spool"))
    spans = b"".join(collector.bodies)
    told = {"logs": logs, "metrics": metrics, "spans": spans, "spool": spool}
    for name, data in told.items():
        assert len(data) > 500, name
        for spelling in spellings(MARK[:TOLD]) | spellings(secret):
            assert spelling not in data, (name, spelling)
        if name != "spool":  # the row names the part; what many may read does not
            assert SERIAL.encode() not in data, name
    assert b"frame not judged" in logs
    assert SERIAL.encode() in spool


def test_a_spelling_would_be_found() -> None:
    for shift in range(3):
        told = base64.b64encode(b"x" * shift + MARK * 5)
        assert any(spelling in told for spelling in spellings(MARK[:TOLD])), shift
    assert any(spelling in repr(list(MARK)).encode() for spelling in spellings(MARK[:TOLD]))
