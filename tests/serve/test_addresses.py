"""Only a socket that nobody listens on is replaced; all else is told in words."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from serve.addresses import listening, require_free
from store.errors import Unavailable


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
@pytest.mark.parametrize("take", [listening, require_free])
def test_what_is_no_socket_stays(tmp_path: Path, kind: str, take: object) -> None:
    path = tmp_path / "frames.db"
    other = tmp_path / "other"
    other.write_text("precious")
    match kind:
        case "file":
            path.write_text("precious")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(other)
    before = path.lstat()
    assert callable(take)
    with pytest.raises(Unavailable, match="is no socket: move it away"):
        take(f"unix:{path}")
    assert path.lstat() == before


def test_socket_of_a_server_that_was_killed_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    before = os.lstat(path).st_ino, os.lstat(path).st_ctime_ns
    require_free(f"unix:{path}")
    listener, address = listening(f"unix:{path}")
    with listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    assert address == f"unix:{path}"
    assert (os.lstat(path).st_ino, os.lstat(path).st_ctime_ns) != before


def test_socket_that_somebody_listens_on_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with listening(f"unix:{path}")[0]:
        for take in (listening, require_free):
            with pytest.raises(Unavailable, match="cannot be listened on"):
                take(f"unix:{path}")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


@pytest.mark.parametrize("address", ["unix:/nonexistent/x.sock", "192.0.2.7:1"])
def test_address_that_nobody_can_take_is_told(address: str) -> None:
    with pytest.raises(Unavailable, match=r"cannot be listened on: .*give another"):
        listening(address)


def test_free_port_is_told(tmp_path: Path) -> None:
    listener, address = listening("127.0.0.1:0")
    with listener:
        assert address == f"127.0.0.1:{listener.getsockname()[1]}"
