"""Layout ``voc``: one Pascal VOC XML file a frame, wherever below the root the frame lies.

Corners count from 1 and are inside the box, as the VOC development kit has it. A frame whose file
lists no object is good; an image without a file is imported without a label.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from store.errors import InvalidInput
from vision_assets.labels.formats.frame import ImportedFrame
from vision_assets.labels.formats.source import Source
from vision_assets.labels.rows import Box


def read(source: Source) -> Iterator[ImportedFrame]:
    """Frames with the objects of their XML files."""
    described: dict[str, ImportedFrame] = {}
    for document in source.documents(".xml"):
        source.use(document)
        try:
            frame = _frame(source, document)
        except InvalidInput as error:
            source.fault(document, str(error))
            continue
        if frame.file in described:
            source.fault(document, f"describes {frame.file}, which another file describes already")
        described[frame.file] = frame
    yield from source.with_unlabelled(described)


def _frame(source: Source, document: str) -> ImportedFrame:
    root = _parse(source, document)
    file = source.find_image(_text(root, "filename"), document)
    boxes = [_box(element) for element in root.iter("object")]
    label, classes = source.judge(box.name for box in boxes)
    return ImportedFrame(
        source.path(file),
        file,
        label,
        classes,
        tuple(box for box in boxes if box.name in classes),
        size_px=_size(root),
    )


def _parse(source: Source, document: str) -> Element:
    try:
        root: Element = ElementTree.fromstring(source.path(document).read_bytes())
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise InvalidInput(f"is not XML that can be read ({error})") from error
    if root.tag != "annotation":
        raise InvalidInput(f"has the root <{root.tag}>, expected <annotation>")
    return root


def _box(element: Element) -> Box:
    # Writers that count from 0 would begin one pixel outside.
    left = max(_number(element, "bndbox/xmin") - 1, 0)
    top = max(_number(element, "bndbox/ymin") - 1, 0)
    width = _number(element, "bndbox/xmax") - left
    height = _number(element, "bndbox/ymax") - top
    name = _text(element, "name")
    if width <= 0 or height <= 0:
        raise InvalidInput(f"object {name}: its box has no area")
    return Box(name=name, x=left, y=top, width=width, height=height)


def _size(root: Element) -> tuple[int, int] | None:
    if root.find("size") is None:
        return None
    return int(_number(root, "size/width")), int(_number(root, "size/height"))


def _number(element: Element, path: str) -> float:
    text = _text(element, path)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"<{path}> is {text!r}, expected a number")
    return number


def _text(element: Element, path: str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise InvalidInput(f"<{element.tag}> has no <{path}>")
    return text
