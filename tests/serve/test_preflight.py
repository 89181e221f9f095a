"""What is refused or remarked before a server starts, or a spool is shipped or read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from serve.cli import main
from serve.preflight import remarks
from serve.spool import Spool
from store.root import Store
from tests.serve.running import LINE, promote, settings_for


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_variable_that_is_no_setting_is_named_with_the_nearest(tmp_path: Path) -> None:
    environment = {
        "VISION_SERVE_DEADLINE": "5",
        "VISION_SERVE_POSTGRES_PASSWORT": "secret",
        "VISION_SERVE_WORKERS": "2",
        "vision_serve_strict": "1",
        "VISION_STORE": "x",
    }
    said = list(remarks(settings_for(tmp_path), environment))
    assert len(said) == 2
    assert "VISION_SERVE_DEADLINE is no setting" in said[0]
    assert "did you mean VISION_SERVE_DEADLINE_MS?" in said[0]
    assert "VISION_SERVE_POSTGRES_PASSWORD?" in said[1]
    assert "secret" not in "".join(said)


def test_the_weight_of_a_line_that_is_not_served_is_remarked(tmp_path: Path) -> None:
    weights = {f"{LINE}/top": 2, str(LINE): 2, "turin/press-33": 2, "turin/press-4/top": 3}
    said = list(remarks(settings_for(tmp_path, weights=weights), {}))
    assert [text.split(" has no effect")[0] for text in said] == [
        "the weight of turin/press-33",
        "the weight of turin/press-4/top",
    ]


def test_run_takes_the_fast_front_s_address_only_when_it_is_free(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(store)
    monkeypatch.chdir(tmp_path)
    given = ("run", "--store", store.url, "--line", LINE, "--listen", "127.0.0.1:50999")
    same = call(*given, "--fast-listen", "127.0.0.1:50999")
    assert (same.exit_code, "--fast-listen and --listen are both" in same.stderr) == (1, True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = call(*given, "--fast-listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert told.exit_code == 1
    assert "give another --fast-listen" in told.stderr


def test_ship_of_a_line_without_a_spool_names_those_with_one_and_makes_nothing(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(store)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISION_STORE", store.url)
    Spool(Path(".vision/serve", LINE.site, LINE.line, "spool")).close()
    before = sorted(os.walk("."))
    told = call("ship", "--line", "turin/pres-3")
    assert told.exit_code == 1
    assert "line turin/pres-3 has no spool" in told.stderr
    assert f"lines with a spool here: {LINE};" in told.stderr
    assert sorted(os.walk(".")) == before
    assert call("ship", "--line", LINE).exit_code == 0


def test_the_store_of_vision_assets_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISION_STORE", str(tmp_path / "none"))
    for words in (("run", "--line", LINE), ("check-bundle", "--line", LINE)):
        told = call(*words)
        assert told.exit_code == 1
        assert str(tmp_path / "none") in told.stderr
    monkeypatch.setenv("VISION_SERVE_STORE", str(tmp_path / "other"))
    assert str(tmp_path / "other") in call("run", "--line", LINE).stderr
