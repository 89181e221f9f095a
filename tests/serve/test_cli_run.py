"""`vision-serve run` as a process: what it acknowledged survives its death; SIGTERM drains."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import cast

import grpc
import pytest

from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from serve.replay import read
from store import documents, layout
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.running import LINE, Process, promote

FRAMES = [frame(brightness) for brightness in (0.2, 0.5, 0.9)] + [b"no image"]


class Load:
    """Clients that send frames of distinct ids until the server is gone."""

    def __init__(self, address: str, start: int, clients: int = 4) -> None:
        self.acknowledged: dict[str, int] = {}
        """Frame id of each answer, with the sequence of its row."""
        self._threads = [
            threading.Thread(target=self._send, args=(address, f"{start}-{client}"))
            for client in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join()

    def _send(self, address: str, name: str) -> None:
        with grpc.insecure_channel(address) as channel:
            ask = channel.unary_unary(
                "/inspection.v1.Inspection/Inspect",
                request_serializer=pb.Frame.SerializeToString,
                response_deserializer=pb.Answer.FromString,
            )
            number = 0
            while True:
                number += 1
                frame_id = f"{name}-{number}"
                request = pb.Frame(encoded=FRAMES[number % len(FRAMES)], frame_id=frame_id)
                try:
                    answer = ask(request, timeout=30)
                except grpc.RpcError as error:
                    sequence = sequence_of(error)
                    if sequence is None:  # the server is gone
                        return
                    self.acknowledged[frame_id] = sequence
                else:
                    self.acknowledged[frame_id] = answer.decision.sequence


def sequence_of(error: grpc.RpcError) -> int | None:
    """The row that an error names, or None when it does not come from the server."""
    decision = dict(cast(grpc.Call, error).trailing_metadata() or ()).get("decision-id")
    return int(str(decision).rpartition("/")[2]) if decision else None


def kill_often(folder: Path, kills: int, *options: str) -> None:
    """Kill a server under load again and again, then look for every answer it gave."""
    promote(Store(str(folder / "store")))
    chance = random.Random(kills)
    acknowledged: dict[str, int] = {}
    for start in range(kills):
        process = Process(folder, *options)
        load = Load(process.address, start)
        time.sleep(chance.uniform(0.02, 0.4))
        process.end(signal.SIGKILL)
        load.wait()
        acknowledged |= load.acknowledged
    rows = list(read(folder / "spool"))
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    recorded = {row["frame_id"]: row["sequence"] for row in rows}
    assert len(recorded) == len(rows)
    assert len(acknowledged) > 10 * kills
    assert {name: recorded.get(name) for name in acknowledged} == acknowledged


@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["default", "strict"])
def test_no_acknowledged_decision_is_lost_by_kills(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    kill_often(tmp_path, 2, *options)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_acknowledged_decision_is_lost_by_200_kills(tmp_path: Path) -> None:
    kill_often(tmp_path, 200)


def test_sigterm_answers_what_is_in_work_and_exits_0(tmp_path: Path, store: Store) -> None:
    promote(store)
    process = Process(tmp_path)
    assert "release turin/press-3@1, engine onnxruntime graph.onnx" in process.ready
    load = Load(process.address, 0)
    while len(load.acknowledged) < 50:
        time.sleep(0.01)
    assert process.end(signal.SIGTERM) == 0
    load.wait()
    recorded = {row["frame_id"]: row["sequence"] for row in read(tmp_path / "spool")}
    assert recorded.keys() - load.acknowledged.keys() == set()  # recorded, but not answered
    assert recorded == load.acknowledged
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    messages = [line["message"] for line in lines]
    assert "draining" in messages  # frames in work may still be logged after it
    assert messages[-1] == "stopped"


def test_server_without_a_release_is_ready_and_says_so(tmp_path: Path, store: Store) -> None:
    documents.create(store, layout.config(LINE), 1, {})
    process = Process(tmp_path)
    assert "has no live release yet" in process.ready
    with Client(process.address) as client:
        assert "promote a bundle" in client.info().fault
    assert process.end(signal.SIGINT) == 0


def refused(tmp_path: Path, *options: object) -> str:
    """What a server says that must end at once, leaving nothing behind."""
    folders = ("--spool", tmp_path / "new-spool", "--cache", tmp_path / "new-cache")
    before = sorted(tmp_path.rglob("*"))
    done = run_once(*folders, *options)
    assert sorted(tmp_path.rglob("*")) == before
    assert done.stdout == ""
    return done.stderr


def run_once(*options: object) -> subprocess.CompletedProcess[str]:
    """``vision-serve run`` that ends by itself, with status 1."""
    program = Path(sys.executable).with_name("vision-serve")
    command = [str(word) for word in (program, "run", *options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    return done


def test_store_that_does_not_exist_ends_the_start(tmp_path: Path) -> None:
    says = refused(tmp_path, "--store", tmp_path / "none", "--line", LINE)
    assert f"the store {tmp_path}/none does not exist" in says


def test_line_that_the_store_does_not_know_ends_the_start(tmp_path: Path, store: Store) -> None:
    promote(store)
    says = refused(tmp_path, "--store", store.url, "--line", "turin/press-4")
    assert "does not know line turin/press-4; it has turin/press-3" in says


def test_taken_port_and_taken_spool_are_one_sentence(tmp_path: Path, store: Store) -> None:
    promote(store)
    process = Process(tmp_path)
    given = ("--store", store.url, "--line", LINE, "--listen", process.address)
    spools = (tmp_path / "second", tmp_path / "spool")
    for spool_folder in spools:
        (line,) = run_once(*given, "--spool", spool_folder).stderr.splitlines()
        expected = (
            f"Error: {process.address} cannot be listened on: another process listens there"
            if spool_folder == spools[0]
            else f"Error: a server for this line seems to run already (process {process.child.pid})"
        )
        assert line.startswith(expected)
    assert process.end(signal.SIGTERM) == 0


def test_what_is_not_ours_is_told_in_a_sentence_or_left(tmp_path: Path, store: Store) -> None:
    """A folder where a segment belongs, a socket where no folder is, a note among the frames."""
    promote(store)
    given = ("--store", store.url, "--line", LINE, "--listen", "127.0.0.1:0")
    spool = tmp_path / "odd-spool"
    (spool / f"{8:016d}.spool").mkdir(parents=True)
    (line,) = run_once(*given, "--spool", spool).stderr.splitlines()
    assert line.endswith("has the name of a spool's segment and is no file: move it away")
    (spool / f"{8:016d}.spool").rmdir()
    (spool / f"{8:016d}.spool").symlink_to(f"{8:016d}.spool")
    (line,) = run_once(*given, "--spool", spool).stderr.splitlines()
    assert "move it away" in line
    folders = ("--spool", tmp_path / "spool", "--cache", tmp_path / "cache")
    for wrong in ("unix:/nonexistent/x.sock", f"unix:{tmp_path}/file"):
        (tmp_path / "file").write_text("precious")
        *_, line = run_once(*given, *folders, "--fast-listen", wrong).stderr.splitlines()
        assert line.startswith(f"Error: {wrong} cannot be listened on: ")
        assert (tmp_path / "file").read_text() == "precious"
    (tmp_path / "spool-kept" / "rejects").mkdir(parents=True)
    (tmp_path / "spool-kept" / "rejects" / "notes.txt").write_text("precious")
    (tmp_path / "cache" / ".known").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / ".known" / "ledger.json").write_text("null")
    process = Process(tmp_path)
    assert "release turin/press-3@1" in process.ready
    assert process.end(signal.SIGTERM) == 0


def test_logs_hold_ids_and_nothing_of_the_frame(tmp_path: Path, store: Store) -> None:
    promote(store)
    process = Process(tmp_path, "--log-level", "debug")
    marker = b"PIXELS-OF-A-CUSTOMER"
    with Client(process.address) as client:
        raw = pb.RawPixels(data=(marker * 400)[: 48 * 48 * 3], shape=[48, 48, 3], dtype="uint8")
        for request in (pb.Frame(raw=raw, camera="left"), pb.Frame(encoded=b"BM" + marker)):
            list(client.stub.InspectStream(iter([request])))
    process.end(signal.SIGTERM)
    log = (tmp_path / "log.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    decision = next(line for line in lines if line["message"] == "decision")
    assert (decision["camera"], decision["release"]) == ("left", "turin/press-3@1")
    assert {"time", "level", "logger", "sequence", "frame_id", "verdict", "score"} <= set(decision)
    refusal = next(line for line in lines if line["message"] == "frame not judged")
    assert (refusal["status"], refusal["level"]) == ("INVALID_ARGUMENT", "warning")
    written = log + "".join(map(str, read(tmp_path / "spool")))
    assert "PIXELS" not in written
    assert marker.hex() not in written
