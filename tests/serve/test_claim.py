"""A folder belongs to one process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve.claim import claim
from store.errors import Conflict, Unavailable


def test_second_claim_names_the_first_until_it_is_given_back(tmp_path: Path) -> None:
    held = claim(tmp_path / "folder", "a server", "end it")
    with pytest.raises(Conflict, match=rf"a server .*\(process {os.getpid()}\).*; end it"):
        claim(tmp_path / "folder", "a server", "end it")
    os.close(held)
    os.close(claim(tmp_path / "folder", "a server", "end it"))


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="writable folder"):
        claim(tmp_path / "file" / "folder", "a server", "end it")
