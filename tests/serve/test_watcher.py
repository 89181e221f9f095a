"""Following the ledger: good releases are swapped in, bad ones never, and everybody can see why."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import grpc
import pytest

from inspection import bundle, evidence
from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from serve.server import NEWEST_RELEASE, Server
from serve.watcher import require_line
from store import artifacts, layout, ledger
from store.errors import NotFound
from store.keys import LineKey
from store.root import Store
from tests.data.bundle.generate import frame, write_bundle
from tests.serve.running import ENGINES, LINE, promote, serving, station, wait_until_live
from tests.serve.test_server import NOT_SERVING, SERVING, health, wait_for_health


def enter(store: Store, bundle: str, action: ledger.Action = "promote") -> ledger.Entry:
    return ledger.append(store, LINE, ledger.Draft(action=action, bundle=bundle, who="tester"))


def graph_file(store: Store, bundle: str) -> Path:
    folder = store.local_path(f"{layout.artifacts(LINE, 'bundles')}/{bundle}")
    return next(folder.glob("graph*.onnx"))


def wait_for_fault(server: Server, part: str) -> None:
    while part not in station(server).watcher.fault:
        time.sleep(0.01)


def verdict(client: Client) -> tuple[str, int]:
    result = client.stub.Inspect(pb.Frame(encoded=frame(0.9))).result
    return result.release, result.verdict


def test_bundle_with_one_changed_byte_is_not_swapped_in_until_it_is_mended(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    promote(store)
    stored = write_bundle(store, LINE, seed=1, bias=-40.0, engines=ENGINES)
    path = graph_file(store, stored.name)
    good = path.read_bytes()
    path.write_bytes(bytes([good[0] ^ 1]) + good[1:])
    with serving(tmp_path) as (server, client):
        enter(store, stored.name)
        wait_for_fault(server, path.name)
        assert verdict(client) == (f"{LINE}@1", pb.REJECT)
        assert f"{LINE}@1 answers" in client.info().fault
        with grpc.insecure_channel(client.target) as channel:
            assert health(channel, "inspection.v1.Inspection") == SERVING
            wait_for_health(channel, NEWEST_RELEASE, NOT_SERVING)
        path.write_bytes(good)
        wait_until_live(server, 2)
        assert verdict(client) == (f"{LINE}@2", pb.PASS)
        assert client.info().fault == ""
    assert [r for r in caplog.records if r.message == "newest release is not live"]


def test_bundle_that_fails_its_golden_frames_is_not_swapped_in(
    tmp_path: Path, store: Store
) -> None:
    """The graph is whole, but the golden frames were made by another one: it is given up."""
    good = promote(store)
    wrong = write_bundle(store, LINE, seed=2, bias=3.0, engines=ENGINES)
    other = write_bundle(store, LINE, seed=3, bias=-40.0, engines=ENGINES)
    golden = [evidence.GOLDEN_FRAMES, evidence.GOLDEN_EXPECTED]
    attached = artifacts.attachments(store, LINE, bundle.KIND, other.name)
    swapped = {name: store.read(attached[name].path) for name in golden}
    artifacts.attach(store, LINE, bundle.KIND, wrong.name, swapped)
    with serving(tmp_path) as (server, client):
        enter(store, wrong.name)
        wait_until_live(server, 3)
        assert verdict(client) == (f"{LINE}@3", pb.REJECT)
    entry = ledger.entry(store, LINE, 3)
    assert (entry.action, entry.bundle, entry.ends) == ("fallback", good.bundle, 2)
    assert "golden frame" in entry.why


@pytest.mark.parametrize(
    ("engines", "says"), [((), "no engine may answer"), (("nothing",), "not installed")]
)
def test_bundle_that_no_engine_may_run_is_not_swapped_in(
    tmp_path: Path, store: Store, engines: tuple[str, ...], says: str
) -> None:
    enter(store, write_bundle(store, LINE, engines=engines).name)
    with serving(tmp_path) as (server, client):
        assert says in station(server).watcher.fault
        assert "no release answers" in client.info().fault


def test_unknown_bundle_is_named(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path) as (server, client):
        enter(store, "0" * 32)
        wait_for_fault(server, "0" * 32)
        assert verdict(client)[0] == f"{LINE}@1"
        promote(store, seed=5)
        wait_until_live(server, 3)


def test_rollback_is_followed(tmp_path: Path, store: Store) -> None:
    first = promote(store, seed=1)
    promote(store, seed=2, bias=-40.0)
    with serving(tmp_path) as (server, client):
        assert verdict(client) == (f"{LINE}@2", pb.PASS)
        enter(store, first.bundle, "rollback")
        wait_until_live(server, 3)
        assert verdict(client) == (f"{LINE}@3", pb.REJECT)


def test_same_bundle_again_keeps_its_engine(tmp_path: Path, store: Store) -> None:
    first = promote(store)
    with serving(tmp_path) as (server, client):
        before = station(server).watcher.live()
        enter(store, first.bundle)
        wait_until_live(server, 2)
        after = station(server).watcher.live()
        assert before is not None
        assert after is not None
        assert after.inspector is before.inspector
        assert verdict(client)[0] == f"{LINE}@2"


def test_unreachable_store_changes_nothing(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path) as (server, client):
        (tmp_path / "store").rename(tmp_path / "away")
        wait_for_fault(server, "can be reached")
        assert verdict(client) == (f"{LINE}@1", pb.REJECT)
        (tmp_path / "away").rename(tmp_path / "store")
        while station(server).watcher.fault:
            time.sleep(0.01)
        promote(store, seed=1)
        wait_until_live(server, 2)


def test_changed_ledger_is_not_followed(tmp_path: Path, store: Store) -> None:
    promote(store)
    promote(store, seed=1, bias=-40.0)
    folder = store.local_path(layout.releases(LINE))
    with serving(tmp_path) as (server, client):
        path = folder / "00000002.json"
        path.write_bytes(path.read_bytes().replace(b"tester", b"nobody"))
        shutil.copy(path, folder / "00000003.json")
        wait_for_fault(server, "changed outside this program")
        assert verdict(client) == (f"{LINE}@2", pb.PASS)


def test_entry_that_was_rewritten_is_noticed_though_there_are_no_more(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.known._READ_AGAIN_S", 0.1)
    promote(store)
    promote(store, seed=1, bias=-40.0)
    with serving(tmp_path) as (server, client):
        path = store.local_path(layout.releases(LINE)) / "00000002.json"
        path.write_bytes(path.read_bytes().replace(b"tester", b"nobody"))
        wait_for_fault(server, "changed outside this program")
        assert verdict(client) == (f"{LINE}@2", pb.PASS)


def test_cache_keeps_the_last_bundles(tmp_path: Path, store: Store) -> None:
    entries = [promote(store, seed=0)]
    with serving(tmp_path, cached_bundles=2) as (server, client):
        for number in range(2, 6):
            entries.append(promote(store, seed=number))
            wait_until_live(server, number)
        expected = {entry.bundle for entry in entries[-2:]}
        while {p.name for p in (tmp_path / "cache").iterdir() if p.name[0] != "."} != expected:
            time.sleep(0.01)
        assert verdict(client)[0] == f"{LINE}@5"


def test_damaged_cache_is_fetched_again(tmp_path: Path, store: Store) -> None:
    entry = promote(store)
    with serving(tmp_path):
        pass
    (tmp_path / "cache" / entry.bundle / "graph.onnx").write_bytes(b"")
    with serving(tmp_path) as (_, client):
        assert verdict(client) == (f"{LINE}@1", pb.REJECT)


def test_unreadable_bundle_does_not_end_the_watcher(tmp_path: Path, store: Store) -> None:
    """A manifest that is no JSON raises an error that is not ours: an id leads to the log."""
    promote(store)
    stored = write_bundle(store, LINE, seed=4, engines=ENGINES)
    folder = store.local_path(f"{layout.artifacts(LINE, 'bundles')}/{stored.name}")
    with serving(tmp_path) as (server, _):
        (folder / "manifest.json").write_text("{")
        enter(store, stored.name)
        wait_for_fault(server, "look for this id")
        promote(store, seed=5)
        wait_until_live(server, 3)


def test_line_must_be_known_to_a_store_that_can_be_read(tmp_path: Path, store: Store) -> None:
    with pytest.raises(NotFound, match=r"does not exist: .*--store \.vision/store"):
        require_line(store, LINE)
    tmp_path.joinpath("store").mkdir()
    with pytest.raises(NotFound, match="does not know line turin/press-3; it has no line yet"):
        require_line(store, LINE)
    promote(store)
    require_line(store, LINE)
    with pytest.raises(NotFound, match="it has turin/press-3"):
        require_line(store, LineKey("turin", "press-4"))


def test_store_that_cannot_be_read_is_waited_for(tmp_path: Path, store: Store) -> None:
    tmp_path.joinpath("store").mkdir()
    tmp_path.joinpath("store", layout.LINES).write_text("no folder")
    require_line(store, LINE)
