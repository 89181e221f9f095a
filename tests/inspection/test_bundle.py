import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspection import bundle, evidence
from inspection.bundle import Bundle
from inspection.decision import Label
from inspection.evidence import Gate
from store import artifacts
from store.artifacts import Artifact
from store.errors import Corrupt, InvalidInput, NotFound
from store.hashing import canonical_json, content_name, sha256
from store.keys import LineKey
from store.root import Store
from tests.data.bundle import generate

LINE = LineKey("turin", "press-3")
ALL_FILES = [
    "bundle.json",
    "card.md",
    "contract.json",
    "evidence.json",
    "gates.json",
    "golden.json",
    "golden.tar",
    "graph.onnx",
    "rule.json",
]
FETCH = """
import sys
from pathlib import Path
from inspection import bundle
from store.keys import LineKey
from store.root import Store
sys.stdin.readline()
for _ in range(int(sys.argv[4])):
    found = bundle.fetch(Store(sys.argv[1]), LineKey.parse("turin/press-3"), sys.argv[2],
                         Path(sys.argv[3]))
    bundle.open_folder(found.folder)
"""


@pytest.fixture
def copied(tiny: Bundle, tmp_path: Path) -> Path:
    """A folder with the tiny bundle, free to be damaged."""
    return Path(shutil.copytree(tiny.folder, tmp_path / "copied"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_bundle_is_all_that_was_written(tiny: Bundle) -> None:
    assert sorted(files_of(tiny.folder)) == ALL_FILES
    assert tiny.contract == generate.contract()
    assert tiny.rule == generate.RULE
    assert tiny.graphs == [bundle.GRAPH]
    assert tiny.graph_path().read_bytes() == generate.graph()
    assert [golden.label for golden in tiny.golden()] == [Label.PASS, Label.REVIEW, Label.REJECT]
    assert [row.engine for row in tiny.evidence()] == ["onnxruntime", "openvino"]
    assert tiny.gates() == list(generate.GATES)
    assert bundle.open_folder(tiny.folder) == tiny


def test_the_name_is_the_hash_of_what_determines_the_verdict(tiny: Bundle) -> None:
    content = {name: (tiny.folder / name).read_bytes() for name in tiny.files}
    assert tiny.name == bundle.bundle_name(content)
    assert tiny.name == content_name({name: sha256(data) for name, data in content.items()})
    for name in content:
        assert bundle.bundle_name({**content, name: content[name] + b" "}) != tiny.name


def test_publishing_again_finds_the_same(store: Store) -> None:
    first, second = (generate.write_bundle(store, LINE) for _ in range(2))
    assert first == second
    assert generate.write_bundle(store, LINE, seed=1).name != first.name
    assert generate.write_bundle(store, LINE, bias=1).name != first.name


def test_files_that_make_no_bundle_are_refused_all_at_once(store: Store) -> None:
    with pytest.raises(InvalidInput) as caught:
        bundle.publish(store, LINE, {bundle.CONTRACT: b"{}"}, {}, {})
    for fault in ("rule.json is missing", "graph.onnx is missing", "contract.json: "):
        assert fault in str(caught.value)
    assert store.names("lines") == []


def test_a_graph_it_does_not_have_is_not_found(tiny: Bundle) -> None:
    for name in (bundle.GRAPH_U8S8, "rule.json"):
        with pytest.raises(NotFound, match=name):
            tiny.graph_path(name)


@given(st.sampled_from(ALL_FILES), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_one_changed_bit_in_any_file_is_refused(
    copied: Path, file: str, where: float, bit: int
) -> None:
    path = copied / file
    good = path.read_bytes()
    bad = bytearray(good)
    bad[int(where * len(bad))] ^= 1 << bit
    path.write_bytes(bad)
    try:
        with pytest.raises(Corrupt):
            bundle.open_folder(copied)
    finally:
        path.write_bytes(good)


def test_one_changed_byte_anywhere_in_the_listing_is_refused(copied: Path) -> None:
    path = copied / bundle.LISTING
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(Corrupt):
            bundle.open_folder(copied)


@pytest.mark.parametrize("file", [name for name in ALL_FILES if name != bundle.LISTING])
def test_a_missing_file_is_refused(copied: Path, file: str) -> None:
    (copied / file).unlink()
    with pytest.raises(Corrupt, match=f"{file} is missing"):
        bundle.open_folder(copied)


@pytest.mark.parametrize("file", ["rule.json", "bundle.json"])
def test_a_longer_file_is_refused(copied: Path, file: str) -> None:
    with (copied / file).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(Corrupt, match=file):
        bundle.open_folder(copied)


def test_a_folder_without_a_bundle_is_not_found(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotFound, match=r"bundle\.json"):
            bundle.open_folder(folder)


@pytest.mark.parametrize("name", ["../rule.json", "/tmp/rule.json", "graph.onnx", "bundle.json"])
def test_a_listing_that_leads_astray_is_refused(copied: Path, name: str) -> None:
    path = copied / bundle.LISTING
    listing = json.loads(path.read_bytes())
    listing["attachments"][name] = listing["attachments"]["card.md"]
    path.write_bytes(canonical_json(listing))
    with pytest.raises(Corrupt, match="was changed"):
        bundle.open_folder(copied)


def test_a_listing_without_a_graph_is_refused(copied: Path) -> None:
    path = copied / bundle.LISTING
    listing = json.loads(path.read_bytes())
    del listing["files"]["graph.onnx"]
    listing["name"] = content_name({k: v["sha256"] for k, v in listing["files"].items()})
    path.write_bytes(canonical_json(listing))
    with pytest.raises(Corrupt, match=r"lacks \['graph.onnx'\]"):
        bundle.open_folder(copied)


def test_a_bundle_of_another_version_says_so(store: Store, tmp_path: Path) -> None:
    """Its hashes are right, but this code cannot read its contract."""
    document = {**generate.contract().model_dump(mode="json"), "version": 2}
    content = {
        bundle.CONTRACT: canonical_json(document),
        bundle.RULE: generate.RULE.model_dump_json().encode(),
        bundle.GRAPH: generate.graph(),
    }
    name = bundle.bundle_name(content)
    stored = {
        file: artifacts.write_file(store, LINE, bundle.KIND, name, file, data)
        for file, data in content.items()
    }
    artifacts.publish(store, LINE, Artifact(bundle.KIND, name, {}, stored))
    with pytest.raises(Corrupt, match="this version cannot read"):
        bundle.fetch(store, LINE, name, tmp_path / "cache")


def test_golden_frames_need_their_expectations(store: Store, tmp_path: Path) -> None:
    name = _bare(store)
    files = evidence.to_attachments(golden=generate.golden(generate.graph(), generate.contract()))
    del files[evidence.GOLDEN_EXPECTED]
    artifacts.attach(store, LINE, bundle.KIND, name, files)
    fetched = bundle.fetch(store, LINE, name, tmp_path / "cache")
    with pytest.raises(Corrupt, match=r"lacks golden\.json"):
        fetched.golden()


def test_a_bundle_without_attachments_is_empty_there(store: Store, tmp_path: Path) -> None:
    fetched = bundle.fetch(store, LINE, _bare(store), tmp_path / "cache")
    assert (fetched.golden(), fetched.evidence(), fetched.gates()) == ([], [], [])


def test_fetching_an_unknown_bundle_is_not_found(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="bundles/unknown"):
        bundle.fetch(store, LINE, "unknown", tmp_path / "cache")


def test_fetching_again_writes_nothing(store: Store, tmp_path: Path) -> None:
    name = generate.write_bundle(store, LINE).name
    folder = bundle.fetch(store, LINE, name, tmp_path / "cache").folder
    inode = folder.stat().st_ino
    assert folder == tmp_path / "cache" / name
    assert bundle.fetch(store, LINE, name, tmp_path / "cache").folder.stat().st_ino == inode


def test_a_later_attachment_is_fetched(store: Store, tmp_path: Path) -> None:
    name = generate.write_bundle(store, LINE).name
    cache = tmp_path / "cache"
    bundle.fetch(store, LINE, name, cache)
    gates = [Gate(name="latency", passed=False)]
    plan = bundle.plan_name(bundle.GRAPH, "tensorrt_rtx", "1.7", ["sm86"])
    files = {**evidence.to_attachments(gates=gates), plan: b"plan"}
    artifacts.attach(store, LINE, bundle.KIND, name, files)
    fetched = bundle.fetch(store, LINE, name, cache)
    assert fetched.gates() == gates
    assert (fetched.folder / plan).read_bytes() == b"plan"
    assert sorted(path.name for path in cache.iterdir()) == [".lock", name]


@pytest.mark.parametrize("file", ALL_FILES)
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_copy_is_replaced(
    tiny_store: Store, tiny: Bundle, tmp_path: Path, file: str, damage: str
) -> None:
    good = files_of(tiny.folder)
    target = Path(shutil.copytree(tiny.folder, tmp_path / tiny.name))
    if damage == "missing":
        (target / file).unlink()
    else:
        (target / file).write_bytes(b"x" + good[file][1:])
    fetched = bundle.fetch(tiny_store, LINE, tiny.name, tmp_path)
    assert files_of(fetched.folder) == good


@pytest.mark.parametrize("what", ["files", "attachments"])
def test_a_damaged_file_in_the_store_is_refused(store: Store, tmp_path: Path, what: str) -> None:
    name = generate.write_bundle(store, LINE).name
    listed = {
        "files": artifacts.read(store, LINE, bundle.KIND, name).files,
        "attachments": artifacts.attachments(store, LINE, bundle.KIND, name),
    }[what]
    for file in listed.values():
        path = store.local_path(file.path)
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(Corrupt, match=path.name):
            bundle.fetch(store, LINE, name, tmp_path / "cache")
        assert not (tmp_path / "cache" / name).exists()
        path.write_bytes(good)
    bundle.fetch(store, LINE, name, tmp_path / "cache")


def test_a_manifest_under_a_wrong_name_is_refused(store: Store, tmp_path: Path) -> None:
    good = artifacts.read(store, LINE, bundle.KIND, generate.write_bundle(store, LINE).name)
    artifacts.publish(store, LINE, Artifact(bundle.KIND, "f" * 32, {}, good.files))
    with pytest.raises(Corrupt, match="name is not the hash"):
        bundle.fetch(store, LINE, "f" * 32, tmp_path / "cache")


def test_what_a_killed_fetch_left_is_swept(store: Store, tmp_path: Path) -> None:
    name = generate.write_bundle(store, LINE).name
    left = tmp_path / "cache" / f".tmp-{0:032x}"
    left.mkdir(parents=True)
    (left / "graph.onnx").write_bytes(b"half")
    bundle.fetch(store, LINE, name, tmp_path / "cache")
    assert not left.exists()


def test_fetches_of_several_processes_do_not_disturb_each_other(
    store: Store, tmp_path: Path
) -> None:
    name = generate.write_bundle(store, LINE).name
    command = [sys.executable, "-c", FETCH, store.url, name, str(tmp_path / "cache"), "20"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        for _ in range(2)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [".lock", name]


def test_fetches_of_several_threads_see_whole_folders_only(store: Store, tmp_path: Path) -> None:
    """Several bundles into one empty cache at once."""
    names = [generate.write_bundle(store, LINE, seed=seed).name for seed in range(3)]
    found: list[str] = []

    def fetch(name: str) -> None:
        found.append(bundle.fetch(store, LINE, name, tmp_path / "cache").name)

    threads = [threading.Thread(target=fetch, args=(name,)) for name in names * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(names * 2)


def _bare(store: Store) -> str:
    content = {
        bundle.CONTRACT: generate.contract().model_dump_json().encode(),
        bundle.RULE: generate.RULE.model_dump_json().encode(),
        bundle.GRAPH: generate.graph(),
    }
    return bundle.publish(store, LINE, content, {}, {}).name
