from __future__ import annotations

from pathlib import Path

import pytest

from inspection.rulebased import stored
from inspection.rulebased.check import Check
from store import artifacts
from store.errors import Corrupt
from store.keys import LineKey
from store.root import Store


def test_what_is_published_is_current_and_fetched_whole(
    store: Store, line: LineKey, golden_check: Check, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert stored.fetch(store, line, cache) is None
    assert stored.current(store, line) == ""
    made = stored.publish(store, line, golden_check, {"snapshot": "s"}, {})
    assert stored.publish(store, line, golden_check, {"snapshot": "s"}, {}).name == made.name
    found = stored.fetch(store, line, cache)
    assert found is not None
    assert found == (golden_check, made.name)
    assert stored.cached(cache) == found


def test_the_copy_answers_when_the_store_has_gone(
    store: Store, line: LineKey, golden_check: Check, tmp_path: Path
) -> None:
    assert stored.cached(tmp_path) is None
    stored.publish(store, line, golden_check, {}, {})
    stored.fetch(store, line, tmp_path / "cache")
    other = golden_check.model_copy(update={"templates": golden_check.templates[:1]})
    newer = stored.publish(store, line, other, {}, {})
    assert stored.fetch(store, line, tmp_path / "cache") == (other, newer.name)
    assert stored.cached(tmp_path / "cache") == (other, newer.name)
    assert stored.current(store, line) == newer.name
    (copy,) = (tmp_path / "cache").glob("*.json")
    assert copy.stem == newer.name


def test_a_damaged_copy_is_not_used_and_mended(
    store: Store, line: LineKey, golden_check: Check, tmp_path: Path
) -> None:
    made = stored.publish(store, line, golden_check, {}, {})
    stored.fetch(store, line, tmp_path)
    (copy,) = tmp_path.glob("*.json")
    copy.write_bytes(copy.read_bytes()[:-10])
    assert stored.cached(tmp_path) is None
    assert stored.fetch(store, line, tmp_path) == (golden_check, made.name)
    assert stored.cached(tmp_path) is not None


def test_a_damaged_file_in_the_store_is_refused(
    store: Store, line: LineKey, golden_check: Check, tmp_path: Path
) -> None:
    made = stored.publish(store, line, golden_check, {}, {})
    place = Path(store.url.removeprefix("file://")) / made.file("check.json").path
    place.chmod(0o644)
    place.write_bytes(b"{" + place.read_bytes()[1:-1] + b" ")
    with pytest.raises(Corrupt):
        stored.fetch(store, line, tmp_path / "cache")
    assert artifacts.current(store, line, stored.KIND) is not None
