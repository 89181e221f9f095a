from __future__ import annotations

from pathlib import Path

import pytest

from serve.client import About, Client, files_below
from serve.server import Server
from store.errors import InvalidInput, Unavailable
from tests.data.bundle.generate import frame


def test_folders_give_their_files_sorted_and_hidden_ones_are_left_out(tmp_path: Path) -> None:
    names = ("b.PNG", "a/2.jpg", "a/1.tiff", "a/notes.txt", "c.gif", "README")
    for name in (*names, ".hidden", ".git/x.png", "a/.DS_Store"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    found, skipped = (
        [path.relative_to(tmp_path).as_posix() for path in paths]
        for paths in files_below([tmp_path])
    )
    assert found == ["a/1.tiff", "a/2.jpg", "b.PNG"]
    assert skipped == ["README", "a/notes.txt", "c.gif"]
    given = [tmp_path / ".hidden", tmp_path / "README"]
    assert files_below(given) == (given, [])
    (tmp_path / "a/1.tiff").unlink()
    (tmp_path / "a/2.jpg").unlink()
    with pytest.raises(InvalidInput, match="no image file among 1 files"):
        files_below([tmp_path / "a"])


def test_all_missing_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as raised:
        files_below([tmp_path / "x", tmp_path, tmp_path / "y"])
    assert "x\n" in str(raised.value)
    assert str(raised.value).endswith("y")


def test_no_server_is_told(tmp_path: Path) -> None:
    says = "vision-serve run --store STORE --line SITE/LINE"
    with pytest.raises(Unavailable, match=says), Client("127.0.0.1:1", 0.2):
        pass


@pytest.mark.parametrize("target", ["127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1", ":1", "unix:"])
def test_bad_address_is_told_as_such(target: str) -> None:
    with (
        pytest.raises(InvalidInput, match=r"no address: .*such as 127.0.0.1:50051"),
        Client(target),
    ):
        pass


def test_rows_come_in_the_order_of_the_files(live: tuple[Server, Client], tmp_path: Path) -> None:
    paths = []
    for number in range(30):
        paths.append(tmp_path / f"{number:02d}.png")
        paths[-1].write_bytes(frame(number / 30) if number % 5 else b"broken")
    rows = list(live[1].inspect_files(paths, About(camera="left"), parallel=4))
    assert [row["file"] for row in rows] == [str(path) for path in paths]
    assert [("error" in row) for row in rows] == [number % 5 == 0 for number in range(30)]
    assert rows[0]["status"] == "INVALID_ARGUMENT"
    assert rows[0]["code"] == "not_an_image"


def test_file_that_cannot_be_read_is_a_row(live: tuple[Server, Client], tmp_path: Path) -> None:
    (row,) = live[1].inspect_files([tmp_path / "gone.png"], About())
    assert (row["status"], row["code"]) == ("NOT_SENT", "file")
