"""Signatures: who may be believed, and that nothing else in an entry may change."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import layout, ledger, signing
from store.errors import InvalidInput
from store.keys import LineKey
from store.ledger import Draft, Entry
from store.root import Store
from store.signing import PublicKeys, Signer, read_public_keys, read_signer

LINE, OTHER = LineKey("turin", "press-3"), LineKey("turin", "press-4")


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def make_key(folder: Path, name: str = "release") -> tuple[Path, Path]:
    """A key pair as the guide makes it."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    openssl("genpkey", "-algorithm", "ed25519", "-out", str(private))
    private.chmod(0o600)
    public.write_bytes(openssl("pkey", "-in", str(private), "-pubout"))
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signer, Signer, PublicKeys, PublicKeys]:
    """Two signers; the public key of the first, and those of both in one file."""
    folder = tmp_path_factory.mktemp("keys")
    pairs = [make_key(folder, name) for name in ("old", "new")]
    both = folder / "both.pub"
    both.write_bytes(b"".join(public.read_bytes() for _, public in pairs))
    old, new = (read_signer(private) for private, _ in pairs)
    return old, new, read_public_keys(pairs[0][1]), read_public_keys(both)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def enter(store: Store, bundle: str, sign: Signer | None = None, **extra: object) -> Entry:
    draft = Draft.model_validate({"action": "promote", "bundle": bundle, "who": "ada", **extra})
    return ledger.append(store, LINE, draft, sign=sign)


def test_a_signed_entry_is_believed_as_it_is_read_back(
    store: Store, keys: tuple[Signer, Signer, PublicKeys, PublicKeys]
) -> None:
    old, _, public, _ = keys
    enter(store, "a", old, evidence={"gates": {"parity": True}, "p": 0.1})
    enter(store, "b", old, action="canary", scope={"cameras": ["c1"], "share": 0.3})
    known = ledger.entries(store, LINE)
    assert [public.fault(LINE, entry) for entry in known] == ["", ""]
    assert public.believe(LINE, known).refused == ()
    assert "wrong" in public.fault(OTHER, known[0])  # it does not hold on another line


@pytest.mark.parametrize(
    ("field", "value"),
    [("bundle", "evil"), ("who", "eve"), ("number", 2), ("forced", True), ("why", "x")],
)
def test_no_field_may_change(
    store: Store,
    keys: tuple[Signer, Signer, PublicKeys, PublicKeys],
    field: str,
    value: object,
) -> None:
    old, _, public, _ = keys
    entry = enter(store, "a", old)
    changed = Entry.model_validate({**entry.document(), field: value})
    assert "signature with key" in public.fault(LINE, changed)
    assert public.fault(LINE, entry) == ""


@given(st.text(max_size=100))
def test_any_other_signature_is_wrong_and_no_error(text: str) -> None:
    signer, public = _throwaway()
    document = {"action": "promote", "bundle": "a", "who": "ada", "number": 1}
    entry = Entry.model_validate({**document, "time": "2026-01-01T00:00:00Z"})
    good = entry.model_copy(update=signer(LINE, entry.document()))
    assert public.fault(LINE, good) == ""
    if text != good.signature:
        bad = good.model_copy(update={"signature": text})
        assert public.fault(LINE, bad) != ""


def test_unsigned_and_unknown_entries_are_refused_with_what_follows_them_kept(
    store: Store, keys: tuple[Signer, Signer, PublicKeys, PublicKeys]
) -> None:
    old, new, public, both = keys
    enter(store, "before")
    enter(store, "a", old)
    enter(store, "unsigned")
    enter(store, "b", new)
    enter(store, "c", old)
    known = ledger.entries(store, LINE)
    believed = public.believe(LINE, known)
    assert [entry.bundle for entry in believed.entries] == ["before", "a", "c"]
    assert [refusal.why for refusal in believed.refused] == [
        "it is not signed",
        f"it is signed with key {new.key}, which is not among the known ones",
    ]
    assert [e.bundle for e in both.believe(LINE, known).entries] == ["before", "a", "b", "c"]


def test_an_old_ledger_counts_only_once_somebody_signs_after_it(
    store: Store, keys: tuple[Signer, Signer, PublicKeys, PublicKeys]
) -> None:
    old, _, public, _ = keys
    enter(store, "a")
    assert public.believe(LINE, ledger.entries(store, LINE)).entries == ()
    enter(store, "b", old)
    assert len(public.believe(LINE, ledger.entries(store, LINE)).entries) == 2


def test_an_unsigned_fallback_goes_back_to_what_was_signed_only(
    store: Store, keys: tuple[Signer, Signer, PublicKeys, PublicKeys]
) -> None:
    old, _, public, _ = keys
    enter(store, "a", old)
    enter(store, "b", old)
    enter(store, "evil")
    enter(store, "evil", action="fallback", ends=2)
    enter(store, "a", action="fallback", ends=2)
    believed = public.believe(LINE, ledger.entries(store, LINE))
    assert [refusal.entry.number for refusal in believed.refused] == [3]
    state = ledger.standing(believed.entries)
    assert state.live is not None
    assert (state.live.number, state.live.bundle) == (5, "a")


def test_an_old_document_without_the_new_fields_is_still_read(store: Store) -> None:
    entry = enter(store, "a")
    new = {"scope", "ends", "key", "signature"}
    old = {name: value for name, value in entry.document().items() if name not in new}
    store.write(f"{layout.releases(LINE)}/00000001.json", json.dumps(old).encode())
    (read,) = ledger.entries(store, LINE)
    assert read.document() == old
    enter(store, "b")
    assert len(ledger.entries(store, LINE)) == 2


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    private, _ = make_key(tmp_path)
    private.chmod(0o640)
    with pytest.raises(InvalidInput, match=r"mode 0640.*chmod 600"):
        read_signer(private)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAA==\n"])
def test_what_is_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    with pytest.raises(InvalidInput, match=r"No such file.*openssl genpkey"):
        read_signer(path)
    with pytest.raises(InvalidInput, match=r"No such file.*-pubout"):
        read_public_keys(path)
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="holds no private key"):
        read_signer(path)
    with pytest.raises(InvalidInput, match="holds no public key"):
        read_public_keys(path)


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    private, public = tmp_path / "rsa.key", tmp_path / "rsa.pub"
    openssl("genpkey", "-algorithm", "x25519", "-out", str(private))
    private.chmod(0o600)
    public.write_bytes(openssl("pkey", "-in", str(private), "-pubout"))
    with pytest.raises(InvalidInput, match="not Ed25519"):
        read_signer(private)
    with pytest.raises(InvalidInput, match="key 1 is not Ed25519"):
        read_public_keys(public)


def test_keys_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = make_key(tmp_path)
    assert signing.configured_signer() is None
    assert signing.configured_keys() is None
    monkeypatch.setenv(signing.SIGNING_KEY, str(private))
    monkeypatch.setenv(signing.RELEASE_KEYS, str(public))
    assert signing.configured_signer() is not None
    assert signing.configured_keys() is not None


def test_a_private_key_is_never_printed(tmp_path: Path) -> None:
    assert "private" not in repr(read_signer(make_key(tmp_path)[0])).lower()


_pair: list[tuple[Signer, PublicKeys]] = []


def _throwaway() -> tuple[Signer, PublicKeys]:
    """One pair for all examples of a property."""
    if not _pair:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.generate()
        signer = Signer("k", private)
        _pair.append((signer, PublicKeys({"k": private.public_key()})))
    return _pair[0]
