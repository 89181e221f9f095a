"""Parquet tables: content-named files, written whole, read lazily with polars.

polars is imported inside the functions: the server imports this package without it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import Corrupt
from store.hashing import sha256
from store.root import Store

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class StoredFile:
    """A data file as its manifest lists it: path in the store, size in bytes, SHA-256."""

    path: str
    size: int
    sha256: str

    @classmethod
    def from_document(cls, value: dict[str, object]) -> StoredFile:
        """Read back what `to_document` gave."""
        return cls(str(value["path"]), int(str(value["size"])), str(value["sha256"]))

    def to_document(self) -> dict[str, object]:
        """A JSON object for a manifest."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256}


def write_named(store: Store, folder: str, stem: str, suffix: str, data: bytes) -> StoredFile:
    """Write bytes under a name that holds their hash, so that equal content has one file.

    Returns:
        What a manifest lists. An existing file of that name and size keeps its bytes.
    """
    digest = sha256(data)
    path = f"{folder}/{stem}-{digest[:16]}{suffix}"
    if store.exists(path) and store.size(path) == len(data):
        store.touch(path)
    else:
        store.write(path, data)
    return StoredFile(path, len(data), digest)


def read_verified(store: Store, file: StoredFile) -> bytes:
    """Bytes of a file, checked against its manifest.

    Raises:
        Corrupt: when size or hash differ.
    """
    data = store.read(file.path)
    _compare(file, len(data), sha256(data))
    return data


def verify(store: Store, file: StoredFile) -> None:
    """Check a file against its manifest in bounded memory.

    Raises:
        Corrupt: when size or hash differ.
    """
    size = store.size(file.path)
    with open(store.local_path(file.path), "rb") as stream:
        _compare(file, size, hashlib.file_digest(stream, "sha256").hexdigest())


def _compare(file: StoredFile, size: int, digest: str) -> None:
    if (size, digest) != (file.size, file.sha256):
        raise Corrupt(
            f"{file.path}: found {size} bytes with SHA-256 {digest[:12]}…, its manifest states "
            f"{file.size} and {file.sha256[:12]}…; restore the file from a backup"
        )


def write_table(store: Store, folder: str, stem: str, table: pl.DataFrame) -> StoredFile:
    """Write a table as Parquet under a name that holds its hash."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", statistics=True)
    return write_named(store, folder, stem, ".parquet", buffer.getvalue())


def read_table(
    store: Store, file: StoredFile, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """A table, or some of its columns, checked against its manifest.

    Raises:
        Corrupt: when size or hash differ.
    """
    import polars as pl

    data = io.BytesIO(read_verified(store, file))
    return pl.read_parquet(data, columns=list(columns) if columns else None)


def scan_tables(store: Store, files: Sequence[StoredFile]) -> pl.LazyFrame:
    """Several tables of one schema as a lazy frame that decodes only what is asked of it.

    Each file is checked against its manifest first.

    Raises:
        ValueError: when `files` is empty (a lazy frame without a schema helps nobody).
        Corrupt: when size or hash of one differ.
    """
    import polars as pl

    if not files:
        raise ValueError("no tables to scan")
    for file in files:
        verify(store, file)
    return pl.scan_parquet([store.local_path(file.path) for file in files])
