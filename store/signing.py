"""Signed ledger entries: Ed25519 over the entry, its line and, by the chain, all before it.

A bundle's name is the hash of what determines its answers, so that a signed entry vouches for the
bundle, too. Keys are PEM files: one private key for who promotes, one file with any number of
public keys, one after the other, for who must believe it.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from store.errors import InvalidInput
from store.hashing import canonical_json, sha256
from store.keys import LineKey
from store.ledger import Entry

SIGNING_KEY = "VISION_SIGNING_KEY"
"""Environment variable: file of the private key that signs what this host enters."""
RELEASE_KEYS = "VISION_RELEASE_KEYS"
"""Environment variable: file of the public keys that listings verify with."""

_PREFIX = b"vision-assets ledger entry\n"
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
_MAKE = "make one with `openssl genpkey -algorithm ed25519 -out FILE`"


@dataclass(frozen=True)
class Signer:
    """Signs entries with one private key."""

    key: str
    _private: Ed25519PrivateKey = field(repr=False)

    def __call__(self, line: LineKey, document: Mapping[str, Any]) -> dict[str, str]:
        """The fields ``key`` and ``signature`` of an entry's document."""
        keyed = {**document, "key": self.key}
        signature = self._private.sign(_message(line, keyed))
        return {"key": self.key, "signature": base64.b64encode(signature).decode()}


@dataclass(frozen=True)
class Refusal:
    """An entry that is not believed, and why."""

    entry: Entry
    why: str


@dataclass(frozen=True)
class Believed:
    """The entries of a ledger, divided.

    Attributes:
        entries: Those that count.
        refused: The others.
    """

    entries: tuple[Entry, ...]
    refused: tuple[Refusal, ...] = ()


class PublicKeys:
    """The keys whose signatures are believed."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = dict(keys)

    def fault(self, line: LineKey, entry: Entry) -> str:
        """Why an entry is not rightly signed; empty when it is."""
        if not entry.signature:
            return "it is not signed"
        public = self._keys.get(entry.key)
        if public is None:
            return f"it is signed with key {entry.key or '?'}, which is not among the known ones"
        document = {k: v for k, v in entry.document().items() if k != "signature"}
        try:
            public.verify(
                base64.b64decode(entry.signature, validate=True), _message(line, document)
            )
        except (InvalidSignature, ValueError):
            return f"its signature with key {entry.key} is wrong"
        return ""

    def believe(self, line: LineKey, known: Sequence[Entry]) -> Believed:
        """Divide the entries of a chain into those that count and those that do not.

        An entry counts when it is rightly signed. What is older than the first such entry counts,
        too: the signed one holds its hash, and who signed it has seen it (so keys can be introduced
        and replaced). A fallback counts unsigned: `store.ledger.standing` lets it go back to an
        earlier release that counts, and to nothing else.
        """
        faults = [self.fault(line, each) for each in known]
        first = next((position for position, fault in enumerate(faults) if not fault), len(known))
        entries: list[Entry] = []
        refused: list[Refusal] = []
        for position, (entry, fault) in enumerate(zip(known, faults, strict=True)):
            is_vouched_for = position < first < len(known)
            is_unsigned_fallback = entry.action == "fallback" and not entry.signature
            if not fault or is_vouched_for or (is_unsigned_fallback and entries):
                entries.append(entry)
            else:
                refused.append(Refusal(entry, fault))
        return Believed(tuple(entries), tuple(refused))


def read_signer(path: Path) -> Signer:
    """The signer of a private key's file, which nobody but its owner may read.

    Raises:
        InvalidInput: when the file cannot be read, others may, or it holds no Ed25519 key.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"private key {path}: {error.strerror}; {_MAKE}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidInput(
            f"private key {path} has mode {mode:04o}, so that others can use it: `chmod 600 {path}`"
        )
    try:
        private = load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{path} holds no private key that can be read here; {_MAKE}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise InvalidInput(f"{path} holds a key that is not Ed25519; {_MAKE}")
    return Signer(_key_id(private.public_key()), private)


def read_public_keys(path: Path) -> PublicKeys:
    """The public keys of a file: one or more PEM blocks.

    Raises:
        InvalidInput: when the file cannot be read, or a block is no Ed25519 public key.
    """
    how = "write one with `openssl pkey -in PRIVATE -pubout`, several one after the other"
    try:
        blocks = _PEM.findall(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"public keys {path}: {error.strerror}; {how}") from error
    if not blocks:
        raise InvalidInput(f"{path} holds no public key in PEM; {how}")
    found: dict[str, Ed25519PublicKey] = {}
    for number, block in enumerate(blocks, start=1):
        try:
            public = load_pem_public_key(block)
        except ValueError as error:
            raise InvalidInput(f"{path}: key {number} cannot be read; {how}") from error
        if not isinstance(public, Ed25519PublicKey):
            raise InvalidInput(f"{path}: key {number} is not Ed25519; {_MAKE}")
        found[_key_id(public)] = public
    return PublicKeys(found)


def configured_signer() -> Signer | None:
    """The signer that `SIGNING_KEY` names in the environment, or None.

    Raises:
        InvalidInput: when the key it names cannot be used.
    """
    path = os.environ.get(SIGNING_KEY)
    return read_signer(Path(path)) if path else None


def configured_keys() -> PublicKeys | None:
    """The public keys that `RELEASE_KEYS` names in the environment, or None.

    Raises:
        InvalidInput: when they cannot be read.
    """
    path = os.environ.get(RELEASE_KEYS)
    return read_public_keys(Path(path)) if path else None


def _key_id(public: Ed25519PublicKey) -> str:
    return sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw))[:16]


def _message(line: LineKey, document: Mapping[str, Any]) -> bytes:
    """What is signed: without the line, an entry would hold on any line."""
    return _PREFIX + f"{line}\n".encode() + canonical_json(document)
