"""`vision-serve` and its commands, on a real server and real bundles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from serve.cli import main
from serve.client import Client
from serve.server import Server
from serve.spool import Spool
from store.root import Store
from tests.data.bundle.generate import RULE, frame
from tests.serve.running import LINE, promote, serving, station

Live = tuple[Server, Client]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def objects(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name, brightness in (("a", 0.2), ("b", 0.5), ("c", 0.9)):
        (folder / f"{name}.png").write_bytes(frame(brightness))
    return folder


def test_inspect_gives_one_object_a_file(live: Live, frames: Path) -> None:
    result = call("inspect", "--target", live[1].target, frames, "--json")
    assert result.exit_code == 0, result.output
    rows = objects(result)
    assert [row["verdict"] for row in rows] == ["PASS", "REVIEW", "REJECT"]
    for row in rows:
        wanted = {"file", "verdict", "score", "reasons", "release", "latency_ms"}
        assert wanted <= row.keys()
        assert row["release"] == f"{LINE}@1"


def test_inspect_reports_errors_goes_on_and_exits_1(live: Live, frames: Path) -> None:
    (frames / "aa.png").write_bytes(b"")
    result = call("inspect", "--target", live[1].target, frames, "--json")
    assert result.exit_code == 1
    rows = objects(result)
    assert [row.get("verdict") for row in rows] == ["PASS", None, "REVIEW", "REJECT"]
    decision = str(rows[1].pop("decision"))
    assert rows[1] == {
        "file": str(frames / "aa.png"),
        "error": "the file has no bytes",
        "code": "empty",
        "status": "INVALID_ARGUMENT",
        "frame_id": "aa.png",
    }
    spooled = objects(call("spool", live[0].settings.spool_folder(LINE), "--json"))
    (row,) = [row for row in spooled if decision.endswith(f"/{row['sequence']}")]
    assert (row["frame_id"], row["error"]) == ("aa.png", "empty")
    assert "1 of 4 frames" in result.stderr


def test_inspect_prints_a_table_for_people(live: Live, frames: Path) -> None:
    (frames / "d.png").write_text("no image")
    (frames / "z.txt").write_text("no image")
    result = call("inspect", "--target", live[1].target, frames)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["file", "verdict", "score", "reasons", "release", "latency_ms"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["a.png", "PASS"],
        ["b.png", "REVIEW"],
        ["c.png", "REJECT"],
        ["d.png", "ERROR"],
    ]
    assert re.search(r" in the review band at \(0\.\d\d, 0\.\d\d\)", lines[2])
    assert re.search(r" score at \(0\.\d\d, 0\.\d\d\), spot +turin/press-3@1 +[\d.]+$", lines[3])
    assert lines[4].endswith("image format; expected JPEG, PNG, BMP or TIFF (INVALID_ARGUMENT)")
    assert "skipped 1 other file(s)" in result.stderr


def test_inspect_names_files_of_several_folders_apart(live: Live, frames: Path) -> None:
    below = frames / "more"
    below.mkdir()
    (below / "a.png").write_bytes(frame(0.2))
    result = call("inspect", "--target", live[1].target, frames / "a.png", below)
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "file",
        "a.png",
        "more/a.png",
    ]


def test_inspect_shows_what_a_line_does_not_know(
    tmp_path: Path, store: Store, frames: Path
) -> None:
    rule = RULE.model_copy(update={"cameras": ("left",), "products": ("lid",)})
    promote(store, rule=rule)
    with serving(tmp_path) as (_, client):
        given = ("--target", client.target, frames / "a.png")
        unknown = call("inspect", *given, "--camera", "right", "--product", "hinge").stdout
        known = call("inspect", *given, "--camera", "left", "--product", "lid").stdout
    assert "unknown camera: right, unknown product: hinge" in unknown
    assert "REVIEW" in unknown
    assert "PASS" in known


def test_inspect_without_a_server_says_how_to_start_one(frames: Path) -> None:
    result = call("inspect", "--target", "127.0.0.1:1", frames)
    assert result.exit_code == 1
    assert "vision-serve run --store STORE --line SITE/LINE" in result.stderr
    assert result.stdout == ""


def test_info_shows_what_runs(live: Live) -> None:
    (found,) = objects(call("info", "--target", live[1].target, "--json"))
    assert found["release"] == f"{LINE}@1"
    assert found["fault"] == ""
    printed = call("info", "--target", live[1].target).stdout
    assert re.search(rf"^release +{LINE}@1$", printed, re.MULTILINE)
    assert re.search(r"^classes +spot, dark$", printed, re.MULTILINE)
    assert re.search(r"^spool fault +-$", printed, re.MULTILINE)
    assert not set("{}[]'") & set(printed)


def test_bench_reports_each_number_of_clients(live: Live, frames: Path) -> None:
    options = ("--seconds", 0.2, "--clients", 1, "--clients", 3)
    remote = call("bench", "--target", live[1].target, frames, *options, "--json")
    assert [row["clients"] for row in objects(remote)] == [1, 3]
    assert all(row["errors"] == 0 for row in objects(remote))
    assert "a row among the real ones in the spool of the server at" in remote.stderr
    release = station(live[0]).watcher.live()
    assert release is not None
    local = call("bench", "--bundle", release.bundle.folder, *options)
    assert local.stdout.count("frames/s") == 2


def test_bench_says_what_the_errors_were(live: Live, frames: Path) -> None:
    (frames / "b.png").write_bytes(b"")
    remote = call("bench", "--target", live[1].target, frames, "--seconds", 0.2)
    assert remote.exit_code == 1
    assert re.search(r"\d+ times: the file has no bytes", remote.stderr)
    release = station(live[0]).watcher.live()
    assert release is not None
    folder = release.bundle.folder
    local = call("bench", "--bundle", folder, frames / "b.png", "--seconds", 0.1)
    assert re.search(r"\d+ times: the file has no bytes", local.stderr)


@pytest.mark.parametrize(
    "arguments", [(), ("--target", "x:1"), ("--target", "x:1", "--bundle", "y")]
)
def test_bench_says_what_it_needs(arguments: tuple[str, ...]) -> None:
    result = call("bench", *arguments)
    assert result.exit_code == 2
    assert "--target and files, or --bundle" in result.stderr


def test_check_bundle_names_the_engine_that_answers(tmp_path: Path, store: Store) -> None:
    entry = promote(store)
    with serving(tmp_path):
        folder = tmp_path / "cache" / entry.bundle
    from_folder = call("check-bundle", folder, "--json")
    assert from_folder.exit_code == 0, from_folder.output
    (report,) = objects(from_folder)
    assert (report["bundle"], report["engine"]) == (entry.bundle, "onnxruntime")
    assert report["golden_frames"] == 3
    from_store = call("check-bundle", "--store", store.url, "--line", LINE)
    assert from_store.exit_code == 0, from_store.output
    assert "every hash is right, 3 golden frames reproduced" in from_store.stdout
    assert "not: openvino" in from_store.stdout
    for name in (entry.bundle, entry.bundle[:6]):
        named = call("check-bundle", "--store", store.url, "--line", LINE, "--bundle", name)
        assert named.exit_code == 0, named.output


def test_check_bundle_refuses_one_changed_byte(tmp_path: Path, store: Store) -> None:
    entry = promote(store)
    with serving(tmp_path):
        folder = tmp_path / "cache" / entry.bundle
    content = bytearray((folder / "rule.json").read_bytes())
    content[-2] ^= 1
    (folder / "rule.json").write_bytes(content)
    result = call("check-bundle", folder)
    assert result.exit_code == 1
    assert "rule.json" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "--store and --line"),
        (("/nowhere",), 1, "no bundle"),
        (("--store", "s3://x", "--line", "a/b"), 2, "store"),
        (("--store", "/nowhere", "--line", "a/b"), 1, "no store at /nowhere"),
        (("--store", "/", "--line", "a/b"), 1, "no live release"),
        (("--store", "/nowhere", "--line", "a"), 1, "site/line"),
        (("--store", "/", "--line", "a/b", "--bundle", "x"), 1, "bundles/x"),
    ],
)
def test_check_bundle_says_what_is_wrong(
    arguments: tuple[str, ...], status: int, says: str
) -> None:
    result = call("check-bundle", *arguments)
    assert result.exit_code == status
    assert says in result.stderr


def test_run_names_every_wrong_setting() -> None:
    result = call("run", "--line", "turin", "--workers", "0", "--listen", "nonsense")
    assert result.exit_code == 1
    for says in (
        "store is missing: give it, such as --store .vision/store",
        "line 'turin' should read site/line, such as --line turin/press-3",
        "listen is 'nonsense': expected host:port or unix:PATH, such as --listen 127.0.0.1:50051",
        "workers is '0': should be greater than or equal to 1",
    ):
        assert says in result.stderr


@pytest.mark.parametrize("option", ["-h", "--help", "--version"])
def test_help_and_version_are_there(option: str) -> None:
    assert call(option).exit_code == 0
    for name in main.commands if option != "--version" else ():
        assert call(name, option).stdout.startswith("Usage:")


def test_spool_prints_its_rows(live: Live, frames: Path) -> None:
    (frames / "broken.png").write_bytes(b"x")
    call("inspect", "--target", live[1].target, frames)
    folder = live[0].settings.spool_folder(LINE)
    last = station(live[0]).spool.state().next_sequence - 1
    rows = objects(call("spool", folder, "--first", last - 3, "--json"))
    assert [row["sequence"] for row in rows] == [last - 3, last - 2, last - 1, last]
    header, *lines = call("spool", folder, "--first", last - 3).stdout.splitlines()
    assert header.split() == ["row", "time", "camera", "frame", "verdict", "score", "release"]
    assert "ERROR not_an_image" in lines[-2] or "ERROR not_an_image" in lines[-1]
    assert any("REJECT" in line and line.endswith(f"{LINE}@1") for line in lines)


def test_spool_of_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    result = call("spool", tmp_path / "none")
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr
    assert result.stdout == ""


def test_spool_of_a_folder_that_is_none_says_what_was_expected(tmp_path: Path) -> None:
    for words in ((), ("--shipping",), ("--json",)):
        result = call("spool", tmp_path, *words)
        assert result.exit_code == 2
        assert "no spool files (*.spool)" in result.stderr
        assert ".vision/serve/SITE/LINE/spool" in result.stderr
    Spool(tmp_path / "new").close()
    assert call("spool", tmp_path / "new").exit_code == 0, "a server that has had no frame yet"


def test_spool_reports_damage_and_exits_1(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(3):
        spool.append(
            {"received_at": "", "camera": "", "frame_id": str(number), "release": "", "error": "x"}
        )
    spool.close()
    (path,) = tmp_path.glob("*.spool")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = call("spool", tmp_path, "--json")
    assert result.exit_code == 1
    assert [row["frame_id"] for row in objects(result)] == ["0", "2"]
    size = len(content) // 3
    assert f"{size} bytes at {size} of {path.name} are damaged: row 2 is lost" in result.stderr
    assert "2 rows are readable" in result.stderr
