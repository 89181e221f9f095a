"""Names of lines and batches, validated in one place.

Dagster does not validate partition keys and its UI reads ``...`` as a range, so every key passes
through here before it becomes a path or a partition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from store.errors import InvalidInput

_PART = re.compile(r"[a-z0-9][a-z0-9._-]*")
_MOST_CHARACTERS = 200


def check_key_part(kind: str, value: str) -> str:
    """Return `value` when it may name a site, a line or a batch.

    Raises:
        InvalidInput: with the rule, when it may not.

    >>> check_key_part("site", "turin")
    'turin'
    """
    if not _PART.fullmatch(value) or ".." in value or len(value) > _MOST_CHARACTERS:
        raise InvalidInput(
            f"{kind} {value!r} is not a valid name: use a-z, 0-9, '.', '_' and '-', start with a "
            f"letter or digit, no '..', at most {_MOST_CHARACTERS} characters"
        )
    return value


def _split(kind: str, text: str, names: tuple[str, ...]) -> list[str]:
    parts = text.split("/")
    if len(parts) != len(names):
        raise InvalidInput(f"{kind} {text!r} should read {'/'.join(names)}")
    return parts


@dataclass(frozen=True, order=True)
class LineKey:
    """A line of a site, written ``site/line``."""

    site: str
    line: str

    def __post_init__(self) -> None:
        check_key_part("site", self.site)
        check_key_part("line", self.line)

    @classmethod
    def parse(cls, text: str) -> LineKey:
        """Read ``site/line``.

        >>> LineKey.parse("turin/press-3").line
        'press-3'
        """
        return cls(*_split("line", text, ("site", "line")))

    def __str__(self) -> str:
        return f"{self.site}/{self.line}"


@dataclass(frozen=True, order=True)
class BatchKey:
    """A batch of a line, written ``site/line/batch``."""

    site: str
    line: str
    batch: str

    def __post_init__(self) -> None:
        check_key_part("site", self.site)
        check_key_part("line", self.line)
        check_key_part("batch", self.batch)

    @classmethod
    def parse(cls, text: str) -> BatchKey:
        """Read ``site/line/batch``.

        >>> str(BatchKey.parse("turin/press-3/shift-1").line_key)
        'turin/press-3'
        """
        return cls(*_split("batch", text, ("site", "line", "batch")))

    @property
    def line_key(self) -> LineKey:
        """The line this batch belongs to."""
        return LineKey(self.site, self.line)

    def __str__(self) -> str:
        return f"{self.site}/{self.line}/{self.batch}"
