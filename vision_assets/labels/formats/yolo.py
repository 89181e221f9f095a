"""Layout ``yolo``: one text file a frame, class names in ``data.yaml``.

The labels of ``train/images/a.jpg`` lie in ``train/labels/a.txt``, those of ``images/train/a.jpg``
in ``labels/train/a.txt``, or beside the image. A row is ``class x y width height`` (centre and
size as shares of the frame) or ``class x1 y1 x2 y2 …`` (a polygon). An empty file says good; an
image without a file is imported without a label.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

import yaml
from pydantic import TypeAdapter, ValidationError

from inspection import decode
from store.errors import InvalidInput, UnreadableFrame
from vision_assets.labels.formats import painting
from vision_assets.labels.formats.frame import ImportedFrame
from vision_assets.labels.formats.source import Source
from vision_assets.labels.rows import Box

_NAMES: TypeAdapter[list[str] | dict[int, str]] = TypeAdapter(list[str] | dict[int, str])


@dataclass(frozen=True)
class _Shape:
    """One row: class, and corners as shares of the frame (x, y, x, y, …)."""

    name: str
    corners: Sequence[float]
    is_polygon: bool

    def box(self, width: int, height: int) -> Box:
        """The rectangle around it, in pixels."""
        xs, ys = self.corners[::2], self.corners[1::2]
        return Box(
            name=self.name,
            x=min(xs) * width,
            y=min(ys) * height,
            width=(max(xs) - min(xs)) * width,
            height=(max(ys) - min(ys)) * height,
        )

    def polygon(self, width: int, height: int) -> list[list[float]]:
        """The outline as COCO has it, in pixels."""
        scale = (width, height)
        return [[share * scale[i % 2] for i, share in enumerate(self.corners)]]


def read(source: Source) -> Iterator[ImportedFrame]:
    """Frames with the rows of their text files."""
    names = _class_names(source)
    described: dict[str, ImportedFrame] = {}
    for file in source.images:
        label_file = _label_file(source, file)
        if label_file:
            source.use(label_file)
            shapes = list(_shapes(source, label_file, names))
            described[file] = _frame(source, file, shapes)
    for file in source.files:
        if "labels" in file.split("/")[:-1] and file.endswith(".txt") and not source.is_used(file):
            source.fault(file, "describes no image: expected one of that name below images/")
    yield from source.with_unlabelled(described)


def _class_names(source: Source) -> dict[int, str]:
    """Class names by number, from the one YAML file that has ``names``."""
    found: dict[int, str] = {}
    for file in source.documents(".yaml", ".yml"):
        try:
            value = yaml.safe_load(source.path(file).read_bytes())
            if isinstance(value, dict) and "names" in value:
                source.use(file)
                names = _NAMES.validate_python(value["names"])
                found |= names if isinstance(names, dict) else dict(enumerate(names))
        except (yaml.YAMLError, ValidationError, ValueError) as error:
            source.fault(file, f"`names` should list the classes ({error})")
    if not found:
        source.fault(str(source.root), "no data.yaml with `names`, so class numbers mean nothing")
    return found


def _label_file(source: Source, file: str) -> str:
    """The text file of an image; empty without one."""
    stem = PurePosixPath(file).with_suffix(".txt")
    parts = list(stem.parts)
    for position in reversed(range(len(parts) - 1)):
        if parts[position] == "images":
            swapped = "/".join([*parts[:position], "labels", *parts[position + 1 :]])
            if swapped in source.known:
                return swapped
    return str(stem) if str(stem) in source.known else ""


def _shapes(source: Source, label_file: str, names: dict[int, str]) -> Iterator[_Shape]:
    text = source.path(label_file).read_text(errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield _shape(line.split(), names)
            except InvalidInput as error:
                source.fault(f"{label_file} line {number}", str(error))


def _shape(words: list[str], names: dict[int, str]) -> _Shape:
    try:
        index, values = int(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        raise InvalidInput("expected a class number and numbers") from None
    if index not in names:
        raise InvalidInput(f"class {index} has no name; data.yaml names {len(names)}")
    if not all(math.isfinite(value) for value in values):
        raise InvalidInput("expected numbers that are finite")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise InvalidInput(f"{len(values)} numbers after the class, expected 4, or 6, 8, 10, …")
    shape = _Shape(names[index], _corners(values), is_polygon=len(values) != 4)
    if _extent(shape.corners[::2]) <= 0 or _extent(shape.corners[1::2]) <= 0:
        raise InvalidInput("the box or outline has no area")
    return shape


def _corners(values: Sequence[float]) -> Sequence[float]:
    """A polygon as it is, a box as two opposite corners."""
    if len(values) != 4:
        return values
    x, y, width, height = values
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _extent(values: Sequence[float]) -> float:
    """Negative where a box has a negative size: its corners keep their order."""
    return max(values) - min(values) if len(values) > 2 else values[1] - values[0]


def _frame(source: Source, file: str, shapes: Sequence[_Shape]) -> ImportedFrame:
    label, classes = source.judge(shape.name for shape in shapes)
    plain = ImportedFrame(source.path(file), file, label, classes)
    try:
        header = decode.read_header(source.path(file).read_bytes())
    except UnreadableFrame:
        return plain  # Ingest puts the frame aside, so nobody asks where its defects are.
    size_px = header.width, header.height
    defects = [shape for shape in shapes if shape.name in classes]
    load = None
    if defects and all(shape.is_polygon for shape in defects):
        outlines = [(shape.name, shape.polygon(*size_px)) for shape in defects]
        load = partial(painting.from_shapes, size_px, outlines)
    boxes = tuple(shape.box(*size_px) for shape in defects)
    return ImportedFrame(source.path(file), file, label, classes, boxes, load_mask=load)
