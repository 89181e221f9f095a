"""Names by content: one canonical JSON, one hash."""

from __future__ import annotations

import hashlib
import json


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: object) -> bytes:
    """`value` as JSON bytes that are equal whenever the value is equal.

    Raises:
        TypeError: for what JSON cannot hold.
        ValueError: for NaN and infinities, which JSON cannot hold either.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def content_name(value: object) -> str:
    """The name of whatever `value` determines: 32 hexadecimal digits of its hash.

    >>> content_name({"a": 1}) == content_name(dict(a=1))
    True
    """
    return sha256(canonical_json(value))[:32]
