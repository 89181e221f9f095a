from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from store.errors import InvalidInput
from vision_assets.learning import hub


def _write(folder: Path, weights: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_no_name_is_no_backbone() -> None:
    assert hub.find("") is None


def test_a_local_folder_is_itself(tmp_path: Path) -> None:
    assert hub.find(str(_write(tmp_path, b"1"))) == tmp_path


@pytest.mark.parametrize("name", ["/nowhere/net", "./nowhere", "~/nowhere-at-all"])
def test_a_folder_that_is_missing_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="no such folder"):
        hub.find(name)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(InvalidInput, match=r"has no model\.safetensors"):
        hub.find(str(tmp_path))


def test_a_name_the_hub_cannot_have_is_refused() -> None:
    with pytest.raises(InvalidInput, match="neither a folder nor on the hub"):
        hub.find("a/b/c")


def test_an_unreachable_hub_is_no_backbone(tmp_path: Path) -> None:
    code = "from vision_assets.learning import hub; assert hub.find('some/net') is None"
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def test_the_hash_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    first, same, other = (
        hub.content_hash(_write(tmp_path / name, data))
        for name, data in (("a", b"1"), ("b", b"1"), ("c", b"2"))
    )
    assert first == same != other
