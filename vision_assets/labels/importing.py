"""A data set on disk into landing batches of one line, with labels and the line's settings."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from store import documents, layout
from store.errors import InvalidInput
from store.keys import BatchKey, LineKey
from store.landing import LandingWriter
from store.root import Store
from vision_assets import config
from vision_assets.labels import line_settings
from vision_assets.labels.formats import naming, registry
from vision_assets.labels.formats.frame import ImportedFrame
from vision_assets.labels.formats.source import Source
from vision_assets.labels.reading import ReadFrame, read_all
from vision_assets.progress import Progress, silent

# Frames without a time of capture get one each second from here, in order: splits follow it.
FIRST_CAPTURE = datetime(2000, 1, 1, tzinfo=UTC)

_MOST_FILES = 5


@dataclass(frozen=True)
class Request:
    """What is imported, and how it becomes batches.

    Attributes:
        path: Folder of the data set, or for some layouts the one file that describes it.
        layout: A name in `formats.registry.LAYOUTS`.
        batch: Name of the batch, or the beginning of the names that `batch_by` gives.
        batch_by: Regular expression searched in the relative path of a frame; its first group, or
            all it matched, in lower case names the batch.
        good: Names of folders or classes that mean good; empty for the rule of `formats.naming`.
        no_good: The data set is meant to have no good frame.
        camera: Camera of frames for which the data set names none.
    """

    path: Path
    layout: str
    batch: str = ""
    batch_by: str = ""
    good: tuple[str, ...] = ()
    no_good: bool = False
    camera: str = line_settings.DEFAULT_CAMERA


@dataclass(frozen=True)
class ImportReport:
    """What was delivered.

    Attributes:
        batches: Keys of the landing batches, sorted.
        frames: Frames delivered.
        good: Frames labelled good.
        defect: Frames labelled defect.
        unlabelled: Frames without a label.
        classes: Frames by defect class.
        boxes: Boxes of all frames.
        masks: Frames with a mask that marks something.
        notes: What was done to the settings, left out or looks odd; one sentence each.
    """

    batches: tuple[BatchKey, ...]
    frames: int
    good: int
    defect: int
    unlabelled: int
    classes: Mapping[str, int]
    boxes: int
    masks: int
    notes: tuple[str, ...]


def import_dataset(
    store: Store, line: LineKey, request: Request, progress: Progress = silent
) -> ImportReport:
    """Deliver a data set as landing batches of a line; again, it changes nothing but the time.

    Bytes of frames are copied as they are, broken ones too: ingest puts those aside. A line
    without settings gets them, else new classes are added.

    Raises:
        InvalidInput: listing everything wrong with the data set; nothing was delivered.
    """
    layout_of = registry.layout_for(request.layout, request.path)
    source = Source(request.path, request.good)
    frames = list(layout_of.read(source))
    _refuse_doubles(source, frames)
    if not request.no_good:
        _refuse_defects_alone(source, frames)
    keys = _batch_keys(source, frames, line, request)
    read = _read(source, frames, progress)
    if source.faults:
        raise InvalidInput.listing(
            f"{request.path} as {request.layout}: {len(source.faults)} faults, nothing delivered:",
            source.faults,
        )
    if not frames:
        raise InvalidInput(
            f"{request.path} has no frames in layout {request.layout}; see docs/reference/"
            "import-layouts.md for where it looks"
        )
    said = _settle(store, line, read, request)
    _deliver(store, keys, read, request, progress)
    return _report(source, sorted(set(keys)), read, said)


def _batch_keys(
    source: Source, frames: Sequence[ImportedFrame], line: LineKey, request: Request
) -> list[BatchKey]:
    """The batch of each frame; faults where there is none, each kind once."""
    pattern = _pattern(request.batch_by)
    keys = []
    refused: defaultdict[str, list[str]] = defaultdict(list)
    for frame in frames:
        try:
            name = _batch_name(frame, request.batch, pattern)
            keys.append(BatchKey(line.site, line.line, name))
        except InvalidInput as error:
            refused[str(error)].append(frame.file)
    for reason, files in refused.items():
        source.fault(f"{files[0]}{f' and {len(files) - 1} more' * (len(files) > 1)}", reason)
    return keys


def _batch_name(frame: ImportedFrame, batch: str, pattern: re.Pattern[str] | None) -> str:
    if frame.batch:
        return frame.batch.lower()
    if pattern is None:
        if not batch:
            raise InvalidInput("in no batch; give --batch, --batch-by or a column `batch`")
        return batch
    match = pattern.search(frame.file)
    if not match:
        raise InvalidInput(f"--batch-by {pattern.pattern} matches nothing in the path")
    group = (match[1] if pattern.groups else match[0]) or ""
    return f"{batch}-{group.lower()}" if batch else group.lower()


def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise InvalidInput(f"--batch-by {text} is no regular expression: {error}") from error


def _refuse_doubles(source: Source, frames: Sequence[ImportedFrame]) -> None:
    counts = Counter(frame.file for frame in frames)
    for file in (file for file, count in counts.items() if count > 1):
        source.fault(file, f"is described {counts[file]} times")


def _refuse_defects_alone(source: Source, frames: Sequence[ImportedFrame]) -> None:
    """A fault when there are defects and no good frame: one name may be meant to mean good."""
    labels = {frame.label for frame in frames}
    if "defect" in labels and "good" not in labels:
        names = ", ".join(sorted({name for frame in frames for name in frame.classes}))
        source.fault(
            "no frame is good",
            f"the classes found are {names or 'unnamed'}; say with --good NAME which of them means "
            "good, or with --no-good that there are defects only",
        )


def _read(source: Source, frames: Sequence[ImportedFrame], progress: Progress) -> list[ReadFrame]:
    read = []
    for done, frame in enumerate(read_all(frames), start=1):
        read.append(frame)
        source.faults.extend([frame.fault] if frame.fault else [])
        progress("reading frames and masks", done, len(frames))
    return read


def _settle(store: Store, line: LineKey, read: Sequence[ReadFrame], request: Request) -> list[str]:
    """Make or extend the line's settings; before any batch is complete, so that steps find them."""
    found = _found(read, request)
    if documents.latest(store, layout.config(line)):
        settings, said = line_settings.merged(config.load(store, line), found)
    else:
        settings, said = line_settings.made(found)
    config.save(store, line, settings)
    return [f"{line}: {sentence}" for sentence in said]


def _found(read: Sequence[ReadFrame], request: Request) -> line_settings.Found:
    frames = [each.frame for each in read]
    return line_settings.Found(
        classes=sorted({name for frame in frames for name in frame.classes}),
        cameras=sorted({_camera(frame, request) for frame in frames}),
        products=sorted({str(f.metadata["product"]) for f in frames if "product" in f.metadata}),
        channels=Counter(each.channels for each in read if each.channels is not None),
    )


def _camera(frame: ImportedFrame, request: Request) -> str:
    return str(frame.metadata.get("camera", request.camera))


def _deliver(
    store: Store,
    keys: Sequence[BatchKey],
    read: Sequence[ReadFrame],
    request: Request,
    progress: Progress,
) -> None:
    positions: defaultdict[BatchKey, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        positions[key].append(position)
    completed_at = datetime.now(UTC)
    done = 0
    for key in sorted(positions):
        writer = LandingWriter(store, key)
        for position in positions[key]:
            _add(writer, read[position], position, request)
            done += 1
            progress(f"delivering to {key}", done, len(read))
        writer.complete(completed_at)


def _add(writer: LandingWriter, read: ReadFrame, position: int, request: Request) -> None:
    frame = read.frame
    captured_at = (FIRST_CAPTURE + timedelta(seconds=position)).isoformat()
    split = naming.split(frame.file)
    metadata = {
        "camera": request.camera,
        "captured_at": captured_at,
        **({"split": split} if split else {}),
        **frame.metadata,
    }
    writer.add_frame(frame.file, frame.path.read_bytes(), metadata)
    if frame.label is not None:
        label = {
            "label": frame.label,
            "classes": list(frame.classes),
            "boxes": [box.to_row() for box in frame.boxes],
            "mask_classes": list(read.mask_classes),
            "source": "imported",
            "author": f"import {request.layout}",
        }
        writer.add_label(frame.file, label, read.mask_png)


def _report(
    source: Source, batches: Sequence[BatchKey], read: Sequence[ReadFrame], said: Iterable[str]
) -> ImportReport:
    frames = [each.frame for each in read]
    labels = Counter(frame.label for frame in frames)
    return ImportReport(
        batches=tuple(batches),
        frames=len(frames),
        good=labels["good"],
        defect=labels["defect"],
        unlabelled=labels[None],
        classes=dict(sorted(Counter(name for f in frames for name in f.classes).items())),
        boxes=sum(len(frame.boxes) for frame in frames),
        masks=sum(each.mask_png is not None for each in read),
        notes=(*said, *_unreadable(read, batches), *_oddities(source, read)),
    )


def _unreadable(read: Sequence[ReadFrame], batches: Sequence[BatchKey]) -> list[str]:
    """Which frames ingest will put aside, and how to see them then."""
    files = [each.frame.file for each in read if each.channels is None]
    if not files:
        return []
    shown = ", ".join(files[:_MOST_FILES]) + ", …" * (len(files) > _MOST_FILES)
    which = str(batches[0]) if len(batches) == 1 else f"{batches[0].line_key}/BATCH"
    return [
        f"frames that cannot be read: {len(files)} ({shown}); a run puts them aside, then "
        f"`vision-assets quarantine {which}` lists them with their reasons"
    ]


def _oddities(source: Source, read: Sequence[ReadFrame]) -> list[str]:
    """What a person should know that is no fault."""
    counts = Counter(source.counts)
    counts["frames labelled defect whose mask marks nothing"] = sum(
        each.has_empty_mask and each.frame.label == "defect" for each in read
    )
    ignored = source.ignored()
    suffixes = ", ".join(f"{count} {suffix}" for suffix, count in ignored.most_common())
    counts[f"files that were ignored ({suffixes})"] = ignored.total()
    return [f"{what}: {count}" for what, count in counts.items() if count]
