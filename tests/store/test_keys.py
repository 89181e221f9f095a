"""Names that become paths and partitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidInput
from store.keys import BatchKey, LineKey

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True).filter(lambda s: ".." not in s)


@given(names, names, names)
def test_keys_survive_text(site: str, line: str, batch: str) -> None:
    key = BatchKey(site, line, batch)
    assert BatchKey.parse(str(key)) == key
    assert LineKey.parse(str(key.line_key)) == key.line_key


@pytest.mark.parametrize(
    "bad",
    ["", "a", "a/b/c", "A/b", "a/../b", "a/b..c", "a/ b", "a/b\n", "/a", "a/" + "x" * 201, "a/é"],
)
def test_bad_lines_are_refused_with_the_rule(bad: str) -> None:
    with pytest.raises(InvalidInput, match="should read|valid name"):
        LineKey.parse(bad)


@pytest.mark.parametrize("bad", ["a/b", "a/b/c/d", "a/b/.hidden", "a/b/c...d"])
def test_bad_batches_are_refused(bad: str) -> None:
    with pytest.raises(InvalidInput):
        BatchKey.parse(bad)
