"""Canary, shadow, fallback, signatures and a store that is away, with real servers and clients."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from serve.replay import read
from serve.server import Server
from store import layout, ledger
from store.errors import InvalidInput
from store.ledger import Draft, Entry
from store.root import Store
from store.signing import Signer, read_signer
from tests.data.bundle.generate import frame, write_bundle
from tests.serve.faulty import write_failing_bundle
from tests.serve.running import (
    ENGINES,
    LINE,
    Process,
    promote,
    serving,
    settings_for,
    station,
    wait_until_live,
)
from tests.store.test_signing import make_key
from vision_assets.deployment import answers
from vision_assets.deployment.compare import compare

DEFECT, FAILING = frame(0.9), frame(1.0)


def passing(store: Store, seed: int = 50) -> str:
    """A bundle that passes every frame; those of `promote` reject `DEFECT`."""
    return write_bundle(store, LINE, seed=seed, bias=-40.0, engines=ENGINES).name


def enter(
    store: Store, action: str, bundle: str, sign: Signer | None = None, **extra: object
) -> Entry:
    draft = Draft.model_validate({"action": action, "bundle": bundle, "who": "ada", **extra})
    return ledger.append(store, LINE, draft, sign=sign)


def canary(store: Store, bundle: str, **scope: object) -> Entry:
    return enter(store, "canary", bundle, scope=scope)


def ask(client: Client, serial: str = "", camera: str = "", data: bytes = DEFECT) -> pb.Result:
    return client.stub.Inspect(
        pb.Frame(encoded=data, serial=serial, camera=camera), timeout=60
    ).result


def wait_for(is_so: Callable[[], object]) -> None:
    """Return when it is so; the test's time-out ends a wait in vain."""
    while not is_so():
        time.sleep(0.01)


def wait_for_canary(server: Server, number: int) -> None:
    watcher = station(server).watcher
    wait_for(lambda: number in [each.release.number for each in watcher.releases().canaries])


def last(store: Store) -> Entry:
    return ledger.entries(store, LINE)[-1]


def rows_of(tmp_path: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read(tmp_path / "spool") if row.get("kind") == kind]


def test_a_share_of_the_parts_goes_to_the_canary_then_all_do(tmp_path: Path, store: Store) -> None:
    promote(store)
    candidate = passing(store)
    with serving(tmp_path) as (server, client):
        canary(store, candidate, share=0.5)
        wait_for_canary(server, 2)
        serials = [f"part-{number}" for number in range(40)]
        first = {serial: ask(client, serial, "top") for serial in serials}
        second = {serial: ask(client, serial, "side") for serial in serials}
        assert {s: r.release for s, r in first.items()} == {s: r.release for s, r in second.items()}
        by_release = Counter((r.release, r.verdict) for r in first.values())
        assert set(by_release) == {(f"{LINE}@1", pb.REJECT), (f"{LINE}@2", pb.PASS)}
        assert ask(client).release == f"{LINE}@1"  # no serial: with the live release
        enter(store, "confirm", candidate, ends=2)
        wait_until_live(server, 3)
        assert {ask(client, serial).release for serial in serials} == {f"{LINE}@3"}


def test_a_withdrawn_canary_answers_no_more(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serve")
    promote(store)
    candidate = passing(store)
    with serving(tmp_path) as (server, client):
        canary(store, candidate, cameras=["top"])
        wait_for_canary(server, 2)
        told = {r.__dict__["release"]: r for r in caplog.records if "release" in r.__dict__}
        assert told[f"{LINE}@1"].message == "release is live"
        assert told[f"{LINE}@2"].message == "canary answers its frames"
        assert told[f"{LINE}@2"].__dict__["beside"] == f"{LINE}@1"
        assert [ask(client, camera=name).release for name in ("top", "side")] == [
            f"{LINE}@2",
            f"{LINE}@1",
        ]
        enter(store, "withdraw", candidate, ends=2)
        wait_for(lambda: not station(server).watcher.releases().canaries)
        assert ask(client, camera="top").release == f"{LINE}@1"


def test_a_start_takes_up_all_that_stands(tmp_path: Path, store: Store) -> None:
    promote(store)
    canary(store, passing(store), cameras=["top"])
    enter(store, "shadow", passing(store, 51))
    with serving(tmp_path) as (server, client):
        assert ask(client, camera="top").release == f"{LINE}@2"
        assert ask(client).release == f"{LINE}@1"
        wait_for(lambda: station(server).shadow.state().answered >= 2)
        info = client.info()
        assert (list(info.canaries), info.shadow) == ([f"{LINE}@2"], f"{LINE}@3")


def test_a_shadow_is_recorded_and_never_heard(tmp_path: Path, store: Store) -> None:
    promote(store)
    candidate = passing(store)
    with serving(tmp_path) as (server, client):
        enter(store, "shadow", candidate)
        shadow = station(server).shadow
        wait_for(lambda: station(server).watcher.releases().shadow)
        for number in range(5):
            result = ask(client, f"part-{number}")
            assert (result.release, result.verdict) == (f"{LINE}@1", pb.REJECT)
            wait_for(lambda n=number: shadow.state().answered == n + 1)  # type: ignore[misc]
        assert (shadow.state().differing, shadow.state().failed) == (5, 0)
    found = rows_of(tmp_path, "shadow")
    assert [row["serial"] for row in found] == [f"part-{number}" for number in range(5)]
    assert {(row["live_verdict"], row["shadow_verdict"]) for row in found} == {("REJECT", "PASS")}
    assert {row["shadow_release"] for row in found} == {f"{LINE}@2"}
    decisions = {row["sequence"]: row for row in read(tmp_path / "spool") if "verdict" in row}
    assert {row["verdict"] for row in decisions.values()} == {"REJECT"}
    assert all(decisions[row["decision"]]["frame_id"] == row["frame_id"] for row in found)
    rows = answers.read(tmp_path / "spool", str(LINE))
    (report,) = compare(rows, LINE, ledger.entries(store, LINE))
    reject, _ = report.differences
    assert (report.parts, reject.only_old, reject.only_new) == ((5,), 5, 0)
    assert reject.p == pytest.approx(2 / 2**5)


def test_a_shadow_that_fails_harms_nobody(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path) as (server, client):
        enter(store, "shadow", write_failing_bundle(store))
        wait_for(lambda: station(server).watcher.releases().shadow)
        for _ in range(10):
            assert ask(client, data=FAILING).release == f"{LINE}@1"
        state = station(server).shadow.state
        wait_for(lambda: state().failed + state().dropped == 10)
        assert state().failed > 0
    assert len(ledger.entries(store, LINE)) == 2
    assert rows_of(tmp_path, "shadow") == []


def test_an_engine_that_fails_is_stood_in_for_then_fallen_back_from(
    tmp_path: Path, store: Store
) -> None:
    good = promote(store)
    with serving(tmp_path, guard_errors=3, host="line-pc") as (server, client):
        bad = enter(store, "promote", write_failing_bundle(store))
        wait_until_live(server, 2)
        assert ask(client).release == f"{LINE}@2"
        for _ in range(4):  # no frame is lost meanwhile: the one before is still loaded
            assert ask(client, data=FAILING).verdict == pb.REJECT
        wait_until_live(server, 3)
        assert ask(client, data=FAILING).release == f"{LINE}@3"
        wait_for(lambda: not client.info().fault)
        found = last(store)
        assert (found.action, found.bundle, found.ends) == ("fallback", good.bundle, 2)
        assert (found.who, found.evidence["host"]) == ("line-pc", "line-pc")
        assert "failed on 4 of the last" in found.why
        enter(store, "promote", bad.bundle)  # a person says so
        wait_until_live(server, 4)
    assert not [row for row in read(tmp_path / "spool") if "error" in row]


def test_without_a_spare_frames_fail_until_the_last_good_release_is_ready(
    tmp_path: Path, store: Store
) -> None:
    good = promote(store)
    enter(store, "promote", write_failing_bundle(store))
    with serving(tmp_path, guard_errors=1) as (server, client):
        assert ask(client).release == f"{LINE}@2"
        for _ in range(2):
            with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
                ask(client, data=FAILING)
        wait_until_live(server, 3)
        assert ask(client, data=FAILING).verdict == pb.REJECT
    assert last(store).bundle == good.bundle


def test_a_slow_canary_is_withdrawn_and_the_live_release_stays(
    tmp_path: Path, store: Store
) -> None:
    promote(store)
    with serving(tmp_path, guard_latency_ms=1e-6, guard_slow=5) as (server, client):
        canary(store, passing(store), cameras=["top"])
        wait_for_canary(server, 2)
        for _ in range(6):
            ask(client, camera="top")
        wait_for(lambda: last(store).action == "fallback")
        wait_for(lambda: not station(server).watcher.releases().canaries)
        assert ask(client, camera="top").release == f"{LINE}@1"
        for _ in range(6):  # nothing is left to go back to: it answers, and says so
            ask(client)
        wait_for(lambda: "is given up" in client.info().fault)
        assert ask(client).release == f"{LINE}@1"
    assert [entry.action for entry in ledger.entries(store, LINE)] == [
        "promote",
        "canary",
        "fallback",
    ]


def graph_file(store: Store, bundle: str) -> Path:
    folder = store.local_path(f"{layout.artifacts(LINE, 'bundles')}/{bundle}")
    return next(folder.glob("graph*.onnx"))


def held_up(path: Path) -> bytes:
    """Replace a file by a pipe, so that whoever reads it waits; gives what it held."""
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    return content


def end_of(pipe: Path) -> int:
    """The end of a pipe to write to, once somebody reads it."""
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            time.sleep(0.01)


@pytest.mark.parametrize("kind", ["promote", "canary"])
def test_a_failing_release_is_withdrawn_while_another_one_is_prepared(
    tmp_path: Path, store: Store, kind: str
) -> None:
    promote(store)
    with serving(tmp_path, guard_errors=0) as (server, client):
        enter(store, "promote", write_failing_bundle(store))
        wait_until_live(server, 2)
        path = graph_file(store, slow := passing(store))
        content = held_up(path)
        enter(store, "promote", slow) if kind == "promote" else canary(store, slow, cameras=["top"])
        pipe = end_of(path)
        try:
            ask(client, data=FAILING)
            wait_until_live(server, 1)
            wait_for(lambda: "@2 is given up" in client.info().fault)
            assert ask(client, data=FAILING).release == f"{LINE}@1"
        finally:  # whatever happened: the server waits for it
            os.write(pipe, content)
            os.close(pipe)
        if kind == "promote":
            wait_until_live(server, 3)
        else:
            wait_for(lambda: last(store).action == "fallback")


def test_a_fallback_is_local_until_the_store_is_back(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path, guard_errors=0) as (server, client):
        enter(store, "promote", write_failing_bundle(store))
        wait_until_live(server, 2)
        (tmp_path / "store").rename(tmp_path / "away")
        ask(client, data=FAILING)
        wait_until_live(server, 1)
        assert ask(client, data=FAILING).release == f"{LINE}@1"
        wait_for(lambda: "@2 is given up" in client.info().fault)
        (tmp_path / "away").rename(tmp_path / "store")
        wait_until_live(server, 3)
        assert last(store).action == "fallback"
        wait_for(lambda: not client.info().fault)


def test_what_was_given_up_is_not_taken_by_the_next_start(tmp_path: Path, store: Store) -> None:
    promote(store)
    quiet: dict[str, Any] = {"guard_errors": 0, "record_fallbacks": False}
    with serving(tmp_path, **quiet) as (server, client):
        enter(store, "promote", write_failing_bundle(store))
        wait_until_live(server, 2)
        ask(client, data=FAILING)
        wait_until_live(server, 1)
    with serving(tmp_path, **quiet) as (_, client):
        assert ask(client).release == f"{LINE}@1"
        assert "@2 is given up" in client.info().fault
    assert len(ledger.entries(store, LINE)) == 2


def test_two_servers_of_a_line_do_not_fight(tmp_path: Path, store: Store) -> None:
    promote(store)
    bad = write_failing_bundle(store)
    other: dict[str, Any] = {
        "spool": tmp_path / "spool-2",
        "cache": tmp_path / "cache-2",
        "guard_errors": 0,
    }
    with (
        serving(tmp_path, guard_errors=0) as (one, first),
        serving(tmp_path, **other) as (two, second),
    ):
        enter(store, "promote", bad)
        for server in (one, two):
            wait_until_live(server, 2)
        for client in (first, second):
            ask(client, data=FAILING)
        for server in (one, two):
            wait_until_live(server, 3)
        time.sleep(0.3)  # several looks at the ledger
        assert [entry.action for entry in ledger.entries(store, LINE)] == [
            "promote",
            "promote",
            "fallback",
        ]
        wait_for(lambda: not first.info().fault and not second.info().fault)


def altered(store: Store, bundle: str) -> None:
    folder = store.local_path(f"{layout.artifacts(LINE, 'bundles')}/{bundle}")
    path = next(folder.glob("graph*.onnx"))
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def test_a_start_with_a_broken_newest_release_answers_with_the_one_before(
    tmp_path: Path, store: Store
) -> None:
    promote(store)
    altered(store, enter(store, "promote", passing(store)).bundle)
    with serving(tmp_path) as (server, client):
        assert ask(client).release == f"{LINE}@1"
        assert "graph" in client.info().fault
        assert f"{LINE}@1 answers" in client.info().fault
        promote(store, seed=7)
        wait_until_live(server, 3)
        wait_for(lambda: not client.info().fault)
    assert len(ledger.entries(store, LINE)) == 3  # altered bytes are no fault of the bundle


def test_a_start_without_its_store_answers_from_the_cache(tmp_path: Path, store: Store) -> None:
    promote(store)
    canary(store, passing(store), cameras=["top"])
    with serving(tmp_path) as (_, client):
        assert ask(client).release == f"{LINE}@1"
    (tmp_path / "store").rename(tmp_path / "away")
    with serving(tmp_path) as (server, client):
        assert ask(client).release == f"{LINE}@1"
        assert ask(client, camera="top").release == f"{LINE}@2"
        assert "can be reached" in client.info().fault
        (tmp_path / "away").rename(tmp_path / "store")
        promote(store, seed=3)
        wait_until_live(server, 3)


def test_the_command_starts_without_its_store(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path):
        pass
    (tmp_path / "store").rename(tmp_path / "away")
    process = Process(tmp_path)
    assert f"release {LINE}@1" in process.ready
    with Client(process.address) as client:
        assert ask(client).release == f"{LINE}@1"
    assert process.end(signal.SIGTERM) == 0


def test_a_damaged_cache_is_not_believed(tmp_path: Path, store: Store) -> None:
    entry = promote(store)
    with serving(tmp_path):
        pass
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "cache" / entry.bundle / "rule.json").write_bytes(b"{}")
    with serving(tmp_path) as (_, client):
        with pytest.raises(grpc.RpcError, match="FAILED_PRECONDITION"):
            ask(client)
        assert "rule.json" in client.info().fault


def test_a_ledger_that_lost_its_last_entry_is_noticed(tmp_path: Path, store: Store) -> None:
    promote(store)
    promote(store, seed=1)
    newest = store.local_path(f"{layout.releases(LINE)}/00000002.json")
    with serving(tmp_path):
        pass
    newest.unlink()
    with serving(tmp_path) as (_, client):
        assert ask(client).release == f"{LINE}@2"
        assert "has 1 entries, 2 were seen here" in client.info().fault


def test_a_last_entry_that_was_rewritten_is_noticed(tmp_path: Path, store: Store) -> None:
    promote(store)
    path = store.local_path(f"{layout.releases(LINE)}/00000001.json")
    with serving(tmp_path) as (_, client):
        changed = json.loads(path.read_text()) | {"bundle": passing(store)}
    path.write_text(json.dumps(changed))
    with serving(tmp_path) as (_, client):
        assert ask(client).verdict == pb.REJECT
        assert "not the one that was seen here" in client.info().fault


def test_only_signed_entries_count_when_keys_are_given(tmp_path: Path, store: Store) -> None:
    private, public = make_key(tmp_path)
    signer = read_signer(private)
    good = write_bundle(store, LINE, seed=1, engines=ENGINES).name
    enter(store, "promote", good, signer)
    with serving(tmp_path, release_keys=public, guard_errors=0) as (server, client):
        enter(store, "promote", passing(store))
        wait_for(lambda: "entry 2" in client.info().fault)
        assert "it is not signed" in client.info().fault
        assert ask(client).release == f"{LINE}@1"
        stranger = read_signer(make_key(tmp_path, "stranger")[0])
        enter(store, "promote", passing(store), stranger)
        wait_for(lambda: "entry 3" in client.info().fault)
        assert ask(client).release == f"{LINE}@1"
        enter(store, "promote", write_failing_bundle(store), signer)
        wait_until_live(server, 4)
        wait_for(lambda: not client.info().fault)
        ask(client, data=FAILING)  # the server's own fallback needs no key: it can only go back
        wait_until_live(server, 5)
        assert (last(store).signature, last(store).bundle) == ("", good)


def test_a_server_without_any_signed_entry_refuses_frames(tmp_path: Path, store: Store) -> None:
    promote(store)
    _, public = make_key(tmp_path)
    with serving(tmp_path, release_keys=public) as (_, client):
        with pytest.raises(grpc.RpcError, match="FAILED_PRECONDITION"):
            ask(client)
        assert "it is not signed" in client.info().fault


def test_keys_that_cannot_be_read_end_the_start(tmp_path: Path, store: Store) -> None:
    promote(store)
    with pytest.raises(InvalidInput, match="public keys"):
        Server(settings_for(tmp_path, release_keys=tmp_path / "none.pub"))


@pytest.mark.slow
def test_a_release_that_ends_its_process_is_given_up(tmp_path: Path, store: Store) -> None:
    good = promote(store)
    enter(store, "promote", passing(store))
    for _ in range(3):
        process = Process(tmp_path)
        assert f"release {LINE}@2" in process.ready
        process.end(signal.SIGKILL)
    process = Process(tmp_path)
    wait_for(lambda: last(store).action == "fallback")
    assert last(store).bundle == good.bundle
    assert "ended 3 times in a row" in last(store).why
    with Client(process.address) as client:
        assert ask(client).verdict == pb.REJECT
    assert process.end(signal.SIGTERM) == 0
