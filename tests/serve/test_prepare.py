"""The cache holds what its names say, nothing leaves it, and what is not ours in it stays."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from serve.prepare import Preparer
from store import artifacts, ledger
from store.errors import Corrupt
from store.root import Store
from tests.serve.running import LINE, promote, serving, settings_for, station, wait_until_live
from tests.serve.test_watcher import verdict, wait_for_fault


def stored(store: Store, bundle: str) -> Path:
    return store.local_path(artifacts.folder(LINE, "bundles", bundle))


def test_another_bundle_in_the_place_of_one_does_not_answer_as_it(
    tmp_path: Path, store: Store
) -> None:
    first = promote(store)
    second = promote(store, seed=1, bias=-40.0)
    with serving(tmp_path):
        pass
    cache = tmp_path / "cache"
    shutil.copytree(stored(store, second.bundle), tmp_path / "kept")
    shutil.copytree(cache / second.bundle, cache / "other")
    shutil.rmtree(stored(store, second.bundle))
    shutil.rmtree(cache / second.bundle)
    with serving(tmp_path):  # fetches the first
        pass
    shutil.rmtree(cache / second.bundle, ignore_errors=True)
    shutil.copytree(cache / first.bundle, cache / second.bundle)
    with serving(tmp_path) as (server, client):
        wait_for_fault(server, f"holds bundle {first.bundle}, not the one of that name")
        assert verdict(client)[0] == f"{LINE}@1"
        shutil.rmtree(cache / second.bundle)
        shutil.copytree(tmp_path / "kept", stored(store, second.bundle))
        wait_until_live(server, 2)


def test_bundle_that_the_store_has_lost_answers_and_is_told(tmp_path: Path, store: Store) -> None:
    entry = promote(store)
    with serving(tmp_path):
        pass
    stored(store, entry.bundle).rename(tmp_path / "away")
    with serving(tmp_path) as (server, client):
        wait_for_fault(server, f"bundle {entry.bundle} is not in the store")
        assert verdict(client)[0] == f"{LINE}@1"
        (tmp_path / "away").rename(stored(store, entry.bundle))
        while station(server).watcher.fault:
            time.sleep(0.01)


@pytest.mark.parametrize("name", ["/tmp", "..", "../../x", "a" * 31, ""])
def test_name_that_is_none_does_not_leave_the_cache(
    tmp_path: Path, store: Store, name: str
) -> None:
    entry = ledger.append(store, LINE, ledger.Draft(action="promote", bundle=name, who="tester"))
    with pytest.raises(Corrupt, match="expected 32 hexadecimal digits"):
        Preparer(store, LINE, settings_for(tmp_path)).prepare(entry)


def test_what_is_no_bundle_stays_in_the_cache(tmp_path: Path, store: Store) -> None:
    cache = tmp_path / "cache"
    others = [cache / "photos", cache / ".tmp-mine", cache / f"{7:032x}"]
    for folder in others:
        folder.mkdir(parents=True)
        (folder / "precious").write_text("x")
    promote(store)
    with serving(tmp_path, cached_bundles=1) as (server, _):
        for number in range(2, 4):
            promote(store, seed=number)
            wait_until_live(server, number)
    assert all((folder / "precious").is_file() for folder in others)
