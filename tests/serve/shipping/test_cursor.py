"""Cursors: what was said is kept, and how far behind a place is can be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serve.shipping import cursor
from serve.shipping.cursor import Cursor, Progress, first_free, shipped, shipped_below, sinks_of
from store.errors import Corrupt


def test_cursor_comes_back(tmp_path: Path) -> None:
    assert cursor.load(tmp_path, "parquet") == Cursor(1)
    cursor.save(tmp_path, "parquet", Cursor(7, 12))
    cursor.tell(tmp_path, "parquet", Progress("away", "2026-01-01T00:00:00+00:00", 3))
    assert cursor.load(tmp_path, "parquet") == Cursor(7, 12)
    assert cursor.progress(tmp_path, "parquet") == Progress("away", "2026-01-01T00:00:00+00:00", 3)
    assert sinks_of(tmp_path) == ["parquet"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"next": "x", "through": null}',
        b'{"next": 1}',
        b'{"next": 18446744073709551615, "through": null}',
        b'{"next": 1, "through": 18446744073709551615}',
        b'{"next": -1, "through": null}',
        b'{"next": 1.5, "through": null}',
    ],
)
def test_spoilt_cursor_says_what_to_do(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "shipping" / "mqtt.json"
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(Corrupt, match='"next": 1'):
        cursor.load(tmp_path, "mqtt")
    assert shipped_below(tmp_path, ["mqtt"]) == 1  # so that nothing is deleted
    (place,) = shipped(tmp_path, ["mqtt"], 5)
    assert "no cursor" in place.fault
    assert first_free(tmp_path) == 1


def test_only_what_every_place_has_is_shipped(tmp_path: Path) -> None:
    cursor.save(tmp_path, "parquet", Cursor(10))
    assert shipped_below(tmp_path, ["parquet"]) == 10
    assert shipped_below(tmp_path, ["parquet", "mqtt"]) == 1
    assert shipped_below(tmp_path, []) == 1


def test_numbers_that_were_shipped_are_never_given_again(tmp_path: Path) -> None:
    assert first_free(tmp_path) == 1
    cursor.save(tmp_path, "parquet", Cursor(10, 15))
    cursor.save(tmp_path, "mqtt", Cursor(12))
    assert first_free(tmp_path) == 16


def test_how_far_behind_a_place_is(tmp_path: Path) -> None:
    cursor.save(tmp_path, "parquet", Cursor(10))
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    cursor.tell(tmp_path, "parquet", Progress("away", hour_ago))
    (place,) = shipped(tmp_path, ["parquet"], 30)
    assert (place.unshipped, place.fault) == (20, "away")
    assert 3600 <= place.oldest_s < 7200
    assert place.is_behind(3000)
    assert not place.is_behind(10_000)
    (done,) = shipped(tmp_path, ["parquet"], 10)
    assert (done.unshipped, done.oldest_s) == (0, 0.0)
