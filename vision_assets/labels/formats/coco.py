"""Layout ``coco``: COCO annotations in JSON, images wherever below the root they lie.

Every JSON file below the root that lists images is read. A listed image without annotations is
good. Where every annotation of a frame has an outline, the frame gets a mask.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

from pydantic import BaseModel, Field, ValidationError

from store.errors import InvalidInput
from vision_assets.labels.formats import painting
from vision_assets.labels.formats.frame import ImportedFrame
from vision_assets.labels.formats.source import Source
from vision_assets.labels.rows import Box

_MOST_REASONS = 5


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: int = Field(0, ge=0)
    height: int = Field(0, ge=0)


class _Category(BaseModel):
    id: int | str
    name: str = Field(min_length=1)


class _Annotation(BaseModel):
    image_id: int | str
    category_id: int | str
    bbox: tuple[float, ...] | None = None
    segmentation: object = None


class _Document(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


_Said = tuple[str, _Annotation]


def read(source: Source) -> Iterator[ImportedFrame]:
    """Frames with the annotations of all JSON files."""
    described: dict[str, ImportedFrame] = {}
    for name in source.documents(".json"):
        try:
            document = _parse(source, name)
        except InvalidInput as error:
            source.fault(name, str(error))
            continue
        for frame in _frames(source, name, document) if document else ():
            if frame.file in described:
                source.fault(name, f"lists {frame.file}, which is listed already")
            described[frame.file] = frame
    yield from source.with_unlabelled(described)


def _parse(source: Source, name: str) -> _Document | None:
    """The annotations of a file; None when it is another kind of JSON beside them."""
    try:
        value = json.loads(source.path(name).read_bytes())
    except ValueError as error:
        raise InvalidInput(f"is not JSON ({error})") from error
    if source.is_folder and not (isinstance(value, dict) and "images" in value):
        return None
    source.use(name)
    try:
        return _Document.model_validate(value)
    except ValidationError as error:
        faults = error.errors()[:_MOST_REASONS]
        reasons = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults]
        raise InvalidInput(f"is not COCO: {'; '.join(reasons)}") from error


def _frames(source: Source, name: str, document: _Document) -> Iterator[ImportedFrame]:
    said = _by_image(source, name, document)
    for image in document.images:
        try:
            yield _frame(source, source.find_image(image.file_name, name), image, said[image.id])
        except InvalidInput as error:
            source.fault(name, f"{image.file_name}: {error}")


def _by_image(
    source: Source, name: str, document: _Document
) -> defaultdict[int | str, list[_Said]]:
    """Annotations by image, each with the name of its class."""
    classes = {category.id: category.name for category in document.categories}
    images = {image.id for image in document.images}
    found: defaultdict[int | str, list[_Said]] = defaultdict(list)
    for number, annotation in enumerate(document.annotations):
        if annotation.image_id not in images:
            source.fault(name, f"annotation {number}: no image has the id {annotation.image_id}")
        elif annotation.category_id not in classes:
            source.fault(name, f"annotation {number}: no category {annotation.category_id}")
        else:
            found[annotation.image_id].append((classes[annotation.category_id], annotation))
    return found


def _frame(source: Source, file: str, image: _Image, said: Sequence[_Said]) -> ImportedFrame:
    label, classes = source.judge(name for name, _ in said)
    defects = [(name, annotation) for name, annotation in said if name in classes]
    shapes = [(name, annotation.segmentation) for name, annotation in defects]
    size_px = (image.width, image.height) if image.width and image.height else None
    load = None
    if size_px and shapes and all(outline for _, outline in shapes):
        load = partial(painting.from_shapes, size_px, shapes)
    elif any(outline for _, outline in shapes):
        source.counts["frames with an outline for some defects only, imported without a mask"] += 1
    return ImportedFrame(
        source.path(file),
        file,
        label,
        classes,
        tuple(_box(name, annotation.bbox) for name, annotation in defects if annotation.bbox),
        load_mask=load,
        size_px=size_px,
    )


def _box(name: str, bbox: tuple[float, ...]) -> Box:
    try:
        x, y, width, height = bbox
        return Box(name=name, x=x, y=y, width=width, height=height)
    except ValueError:
        raise InvalidInput(
            f"the box of {name} is {list(bbox)}, expected x, y, width, height with an area"
        ) from None
