"""The bundle: everything needed to answer one frame with one verdict, named by its hash.

Verdict-determining files, in the manifest and in the name: ``contract.json``, ``rule.json``,
``graph.onnx`` (float), optionally ``graph.int8.u8s8.onnx`` (CPU runtimes) and
``graph.int8.s8s8.onnx`` (TensorRT), and large initialisers beside their graph. Attached: golden
frames, evidence and gates (`inspection.evidence`), plans (`plan_name`), card and figures.

On a host a bundle is a folder with all of these under plain names, and ``bundle.json`` that lists
each with its size and SHA-256.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from inspection import evidence
from inspection.contract import Contract
from inspection.decision import Rule
from inspection.evidence import EngineEvidence, Gate, Golden
from store import artifacts, tables
from store.artifacts import Artifact
from store.errors import Corrupt, InvalidInput, NotFound
from store.hashing import canonical_json, content_name, sha256
from store.keys import LineKey
from store.root import Store
from store.tables import StoredFile

KIND = "bundles"
CONTRACT = "contract.json"
RULE = "rule.json"
GRAPH = "graph.onnx"
GRAPH_U8S8 = "graph.int8.u8s8.onnx"
GRAPH_S8S8 = "graph.int8.s8s8.onnx"
GRAPHS = (GRAPH, GRAPH_U8S8, GRAPH_S8S8)
LISTING = "bundle.json"

_REPLACED = re.compile(r"\.tmp-[0-9a-f]{32}")
_REQUIRED = (CONTRACT, RULE, GRAPH)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in a local folder.

    Attributes:
        folder: Where its files are.
        name: Hash of its verdict-determining files.
        contract: What it accepts and gives.
        rule: How a verdict is made.
        files: Names of the verdict-determining files.
        attachments: Names of the attached files.
    """

    folder: Path
    name: str
    contract: Contract
    rule: Rule
    files: tuple[str, ...]
    attachments: tuple[str, ...]

    @property
    def graphs(self) -> list[str]:
        """The graphs it has, in the order of `GRAPHS`."""
        return [graph for graph in GRAPHS if graph in self.files]

    def graph_path(self, graph: str = GRAPH) -> Path:
        """The path of a graph.

        Raises:
            NotFound: when the bundle has none of that name.
        """
        if graph not in self.graphs:
            raise NotFound(f"bundle {self.name} has no graph {graph}; it has {self.graphs}")
        return self.folder / graph

    def golden(self) -> list[Golden]:
        """The golden frames; empty when none are attached."""
        if evidence.GOLDEN_FRAMES not in self.attachments:
            return []
        frames, expected = evidence.GOLDEN_FRAMES, evidence.GOLDEN_EXPECTED
        return evidence.read_golden(self._attached(frames), self._attached(expected))

    def evidence(self) -> list[EngineEvidence]:
        """The evidence per engine and graph; empty when none is attached."""
        if evidence.EVIDENCE not in self.attachments:
            return []
        return evidence.read_evidence(self._attached(evidence.EVIDENCE))

    def gates(self) -> list[Gate]:
        """The gates; empty when none are attached."""
        if evidence.GATES not in self.attachments:
            return []
        return evidence.read_gates(self._attached(evidence.GATES))

    def _attached(self, file: str) -> bytes:
        if file not in self.attachments:
            raise Corrupt(f"bundle {self.name} lacks {file}; export it again")
        return (self.folder / file).read_bytes()


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str


class _Listing(BaseModel):
    """``bundle.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    files: dict[str, _File]
    attachments: dict[str, _File]

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.name != content_name({name: file.sha256 for name, file in self.files.items()}):
            raise ValueError("name is not the hash of the files")
        if missing := [name for name in _REQUIRED if name not in self.files]:
            raise ValueError(f"lacks {missing}")
        if taken := self.attachments.keys() & {*self.files, LISTING}:
            raise ValueError(f"{sorted(taken)} may not be attached")
        for path in map(PurePosixPath, [*self.files, *self.attachments]):
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{path} leads out of the folder")
        return self

    def to_bytes(self) -> bytes:
        return canonical_json(self.model_dump())


def bundle_name(files: Mapping[str, bytes]) -> str:
    """The name of the bundle that these verdict-determining files make."""
    return content_name({name: sha256(data) for name, data in files.items()})


def publish(
    store: Store,
    line: LineKey,
    files: Mapping[str, bytes],
    inputs: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> Artifact:
    """Write a bundle's verdict-determining files and make it exist.

    Args:
        store: Where the line's data is.
        line: Whose bundle.
        files: Content by name: at least contract, rule and float graph.
        inputs: What it was made from, for its manifest.
        summary: Figures for people, for its manifest.

    Raises:
        InvalidInput: when the files do not make a bundle; nothing is written.
    """
    faults = [f"{name} is missing" for name in _REQUIRED if name not in files]
    for name, model in ((CONTRACT, Contract), (RULE, Rule)):
        try:
            model.model_validate_json(files.get(name, b""))
        except ValidationError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise InvalidInput.listing("these files do not make a bundle:", faults)
    name = bundle_name(files)
    stored = {
        file: artifacts.write_file(store, line, KIND, name, file, data)
        for file, data in files.items()
    }
    return artifacts.publish(store, line, Artifact(KIND, name, inputs, stored, summary))


def fetch(store: Store, line: LineKey, name: str, cache: Path) -> Bundle:
    """The bundle of that name in ``cache/name``, copied there when it is not.

    The folder appears whole or not at all, whoever else fetches at the same time. A copy that is
    damaged, or that lacks what was attached since, is replaced.

    Raises:
        NotFound: when the line has no such bundle.
        Corrupt: when a file in the store is not what its manifest states.
    """
    files = artifacts.read(store, line, KIND, name).files
    attached = artifacts.attachments(store, line, KIND, name)
    listing = _listing(name, files, attached)
    target = cache / name
    with _locked(cache):
        if not _holds(target, listing):
            copy = _copy(store, {**files, **attached}, listing, cache)
            if target.exists():
                target.rename(cache / f".tmp-{uuid.uuid4().hex}")
            copy.rename(target)
            _sweep(cache)
    return open_folder(target)


def open_folder(folder: Path) -> Bundle:
    """The bundle in a folder, with every file verified.

    Raises:
        NotFound: when the folder holds no bundle.
        Corrupt: when one byte of any file differs, or a file is missing.
    """
    path = folder / LISTING
    if not path.is_file():
        raise NotFound(f"{folder} holds no bundle: it has no {LISTING}")
    listing = _read_listing(path)
    for name, file in [*listing.files.items(), *listing.attachments.items()]:
        _verify(folder / name, file)
    try:
        return Bundle(
            folder,
            listing.name,
            Contract.model_validate_json((folder / CONTRACT).read_bytes()),
            Rule.model_validate_json((folder / RULE).read_bytes()),
            tuple(listing.files),
            tuple(listing.attachments),
        )
    except ValidationError as error:
        raise Corrupt(f"{folder} holds a bundle this version cannot read: {error}") from error


def plan_name(graph: str, library: str, version: str, capabilities: Sequence[str]) -> str:
    """The attachment name of a TensorRT plan.

    Args:
        graph: The graph it was built from.
        library: ``tensorrt`` or ``tensorrt_rtx``.
        version: Of the library; no other version can load the plan.
        capabilities: Compute capabilities it was built for, such as ``sm86``.

    >>> plan_name("graph.onnx", "tensorrt_rtx", "1.7.1.116", ["sm86", "sm89"])
    'plans/graph.onnx/tensorrt_rtx-1.7.1.116/sm86-sm89.plan'
    """
    return f"{plan_folder(graph, library, version)}/{'-'.join(capabilities)}.plan"


def plan_folder(graph: str, library: str, version: str) -> str:
    """The folder, inside a bundle, of the plans that one version of a library can load."""
    return f"plans/{graph}/{library}-{version}"


def _listing(
    name: str, files: Mapping[str, StoredFile], attached: Mapping[str, StoredFile]
) -> _Listing:
    plain = [
        {key: _File(size=file.size, sha256=file.sha256) for key, file in group.items()}
        for group in (files, attached)
    ]
    try:
        return _Listing(name=name, files=plain[0], attachments=plain[1])
    except ValidationError as error:
        raise Corrupt(f"the manifest of bundle {name} does not describe one: {error}") from error


def _read_listing(path: Path) -> _Listing:
    data = path.read_bytes()
    try:
        listing = _Listing.model_validate_json(data)
    except ValidationError as error:
        raise Corrupt(f"{path} was changed: {error}; fetch the bundle again") from error
    if listing.to_bytes() != data:
        raise Corrupt(f"{path} was changed; fetch the bundle again")
    return listing


def _verify(path: Path, expected: _File) -> None:
    if not path.is_file():
        raise Corrupt(f"{path} is missing; fetch the bundle again")
    data = path.read_bytes()
    if len(data) != expected.size or sha256(data) != expected.sha256:
        raise Corrupt(
            f"{path} has {len(data)} bytes with SHA-256 {sha256(data)[:12]}…, {LISTING} states "
            f"{expected.size} and {expected.sha256[:12]}…; fetch the bundle again"
        )


def _holds(folder: Path, listing: _Listing) -> bool:
    """Whether a folder holds just this, undamaged."""
    try:
        open_folder(folder)
    except (NotFound, Corrupt):
        return False
    return (folder / LISTING).read_bytes() == listing.to_bytes()


def _copy(store: Store, files: Mapping[str, StoredFile], listing: _Listing, cache: Path) -> Path:
    """A new folder with verified copies. Not synced: what a power cut spoils is fetched again."""
    folder = cache / f".tmp-{uuid.uuid4().hex}"
    for name, file in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(tables.read_verified(store, file))
    (folder / LISTING).write_bytes(listing.to_bytes())
    return folder


def _sweep(cache: Path) -> None:
    """Remove what was replaced, and what a killed fetch left; the caller holds the lock."""
    for folder in cache.glob(".tmp-*"):
        if _REPLACED.fullmatch(folder.name) and folder.is_dir():  # others' files are not ours
            shutil.rmtree(folder)


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """One fetch into a cache at a time; the kernel lets go when the process dies."""
    cache.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(cache / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
