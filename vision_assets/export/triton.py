"""A release as a model repository of NVIDIA Triton: its graph, and a config that describes it.

Triton runs the graph only. Decoding, fitting, statistics, the decision rule and the record of every
decision are this project's (`inspection`, `serve`); the README in the folder says so and how.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inspection import bundle as bundles
from inspection.bundle import Bundle
from inspection.contract import Contract
from store import ledger
from store.errors import Conflict, InvalidInput
from store.keys import LineKey
from store.root import Store

MAX_BATCH = 8
MODEL_FILE = "model.onnx"
LABELS = "labels.txt"

_BATCH_AXIS = 0
_LABELLED = "class_scores"


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: In the graph.
        datatype: As Triton writes it, such as ``TYPE_UINT8``.
        shape: Without the batch axis.
        is_batched: Whether the first axis is free.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    is_batched: bool


def export_triton(store: Store, line: LineKey, number: int, target: Path) -> Path:
    """Write a release as a model of a repository; it appears whole or not at all.

    The repository may hold other models: those of other lines.

    Args:
        store: Where the ledger and the bundle are.
        line: Whose release.
        number: Its entry in the ledger, which becomes the version of the model.
        target: The repository: a folder, made when needed.

    Returns:
        The model's folder inside `target`.

    Raises:
        NotFound: when there is no such release.
        Conflict: when `target` is no folder, or holds a model of this line.
        Corrupt: when a file of the bundle is not what its manifest states.
    """
    folder = target / model_name(line)
    _require_free(target, folder)
    entry = ledger.entry(store, line, number)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.parent / f".tmp-{uuid.uuid4().hex}"
    try:
        with tempfile.TemporaryDirectory(prefix="triton-") as cache:
            bundle = bundles.fetch(store, line, entry.bundle, Path(cache))
            _write(part / folder.name, bundle, entry.release_of(line), number)
        target.mkdir(exist_ok=True)
        try:
            (part / folder.name).rename(folder)
        except OSError:  # written meanwhile
            _require_free(target, folder)
            raise
        _sync(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def model_name(line: LineKey) -> str:
    """The model's name, which is a folder's.

    >>> model_name(LineKey("turin", "press-3"))
    'turin-press-3'
    """
    return f"{line.site}-{line.line}"


def ports(graph: Path) -> tuple[list[Port], list[Port]]:
    """Inputs and outputs of an ONNX graph.

    Raises:
        InvalidInput: when an axis beside the first is free, or a type has no name in Triton.
    """
    import onnx

    model = onnx.load(str(graph), load_external_data=False).graph
    held = {tensor.name for tensor in model.initializer}
    inputs = [_port(value) for value in model.input if value.name not in held]
    return inputs, [_port(value) for value in model.output]


def config_text(name: str, inputs: Sequence[Port], outputs: Sequence[Port]) -> str:
    """The model's ``config.pbtxt``.

    Batches up to `MAX_BATCH` are gathered when every port has a free first axis; else Triton takes
    the graph's own shapes.
    """
    is_batched = all(port.is_batched for port in (*inputs, *outputs))
    batching = ["dynamic_batching { }"] if is_batched else []
    return "\n".join(
        [
            f'name: "{name}"',
            'backend: "onnxruntime"',
            f"max_batch_size: {MAX_BATCH if is_batched else 0}",
            *(_block("input", port, is_batched) for port in inputs),
            *(_block("output", port, is_batched) for port in outputs),
            *batching,
            "",
        ]
    )


def _block(kind: str, port: Port, is_batched: bool) -> str:
    # Triton adds the batch axis itself, and wants at least one more.
    shape = port.shape if is_batched or not port.is_batched else (-1, *port.shape)
    lines = [
        f'    name: "{port.name}"',
        f"    data_type: {port.datatype}",
        f"    dims: [ {', '.join(map(str, shape or (1,)))} ]",
    ]
    if not shape:
        lines.append("    reshape: { shape: [ ] }")
    if kind == "output" and port.name == _LABELLED:
        lines.append(f'    label_filename: "{LABELS}"')
    return "\n".join([f"{kind} [", "  {", *lines, "  }", "]"])


def _port(value: object) -> Port:
    """A port as the graph describes it; `value` is an ``onnx.ValueInfoProto``."""
    import onnx

    tensor = value.type.tensor_type  # type: ignore[attr-defined]
    name = str(value.name)  # type: ignore[attr-defined]
    types = {
        onnx.TensorProto.UINT8: "TYPE_UINT8",
        onnx.TensorProto.FLOAT: "TYPE_FP32",
        onnx.TensorProto.FLOAT16: "TYPE_FP16",
        onnx.TensorProto.INT64: "TYPE_INT64",
    }
    sizes = [axis.dim_value if axis.HasField("dim_value") else -1 for axis in tensor.shape.dim]
    if tensor.elem_type not in types or not sizes or -1 in sizes[_BATCH_AXIS + 1 :]:
        raise InvalidInput(
            f"port {name} of the graph has type {tensor.elem_type} and shape {sizes}; only the "
            "first axis may be free: export the bundle again"
        )
    is_batched = sizes[_BATCH_AXIS] == -1
    shape = sizes[1:] if is_batched else sizes
    return Port(name, types[tensor.elem_type], tuple(shape), is_batched)


def _write(folder: Path, bundle: Bundle, release: str, number: int) -> None:
    """The model's folder, on disk before it gets its name."""
    version = folder / str(number)
    version.mkdir(parents=True)
    shutil.copyfile(bundle.graph_path(), version / MODEL_FILE)
    beside = set(bundle.files) - {bundles.CONTRACT, bundles.RULE, *bundles.GRAPHS}
    for name in beside:  # initialisers that the graph names
        shutil.copyfile(bundle.folder / name, version / name)
    for name in (bundles.CONTRACT, bundles.RULE):
        shutil.copyfile(bundle.folder / name, folder / name)
    inputs, outputs = ports(version / MODEL_FILE)
    (folder / "config.pbtxt").write_text(config_text(folder.name, inputs, outputs))
    (folder / LABELS).write_text("".join(f"{name}\n" for name in bundle.contract.classes))
    (folder / "README.md").write_text(_readme(release, bundle.name, bundle.contract))
    for path in (*folder.rglob("*"), folder, folder.parent):
        _sync(path)


def _readme(release: str, bundle: str, contract: Contract) -> str:
    spec = contract.input
    crop = f"cropped to x, y, width, height = {spec.crop}, " if spec.crop else ""
    reduced = f" at 1/{spec.reduced_decode} of the size" if spec.reduced_decode > 1 else ""
    colour = "three channels in the order R, G, B" if spec.channels == 3 else "one grey channel"
    return f"""# {release} for Triton

The float graph of bundle `{bundle}`. It has been written for Triton's ONNX Runtime backend and its
`config.pbtxt` agrees with Triton's own definition; no Triton server has run it.

What Triton does not do here, and the client has to:

- **Decode and fit.** The input is uint8 with {colour}, {spec.height} x {spec.width} pixels: the
  file is decoded{reduced} without turning it by EXIF, {crop}then reduced by averaging areas (sides
  are halved while both are even and stay large enough; linear interpolation where a side grows).
  Other pixels give other scores: `inspection.preprocess.prepare` is the definition.
- **Decide.** `score` is a raw score, no probability. `rule.json` holds the thresholds:
  p = 1 / (1 + exp(-(score / temperature + bias))), PASS below `pass_below`, REJECT from
  `reject_from`, REVIEW between; `special` and the lists of cameras and products come first.
- **Record.** No decision is written down, no frame is kept, no statistics are taken, no drift is
  seen, and a new release is a new export. `vision-serve` does all of that.

`contract.json` is the bundle's contract; `{LABELS}` names the columns of `class_scores`.
"""


def _require_free(target: Path, folder: Path) -> None:
    if target.exists() and not target.is_dir():
        raise Conflict(f"{target} is no folder: name that of a model repository, or a new one")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(
            f"{target} has a model {folder.name} already: move it away, or name another folder"
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
