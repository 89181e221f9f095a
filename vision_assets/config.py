"""The settings of a line: one document, whose hash goes into every snapshot and bundle.

Stored as numbered documents under ``lines/{site}/{line}/config/``; there is no other per-line
configuration.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from store import documents, layout
from store.errors import InvalidInput, NotFound
from store.hashing import content_name
from store.keys import LineKey
from store.root import Store

# Found out by an import or a simulation although it is in a section.
_FOUND = {"ingest": ("channels",)}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IngestSettings(_Section):
    """What ingest accepts."""

    max_broken_share: float = Field(
        0.02, ge=0, le=1, description="over this share of broken files the batch fails its check"
    )
    max_pixels: int = Field(50_000_000, ge=1, description="frames with more pixels are not decoded")
    min_side_px: int = Field(16, ge=1, description="frames with a shorter side are broken")
    channels: Literal[1, 3] | None = Field(
        None, description="1 grey, 3 colour; frames that differ are quarantined. None: not checked"
    )


class SplitSettings(_Section):
    """Shares of groups that go to each role; what remains is `train`."""

    tune: float = Field(0.10, gt=0, lt=1, description="early stopping")
    calibrate: float = Field(0.15, gt=0, lt=1, description="temperature, thresholds, INT8 ranges")
    test: float = Field(0.25, gt=0, lt=1, description="evaluation and gates only")

    @model_validator(mode="after")
    def _leaves_training_data(self) -> Self:
        if self.tune + self.calibrate + self.test >= 0.9:
            raise ValueError("tune + calibrate + test must leave at least a tenth for training")
        return self


class TrainingSettings(_Section):
    """How a model is trained."""

    backbone: str = Field(
        "", description="hub name or local folder for transformers; empty: small, from scratch"
    )
    height_px: int = Field(256, ge=64, le=2048, multiple_of=32, description="network input height")
    width_px: int = Field(256, ge=64, le=2048, multiple_of=32, description="network input width")
    epochs: int = Field(30, ge=1, le=1000)
    patience: int = Field(8, ge=1, description="epochs without a better tune loss before stopping")
    batch_size: int = Field(16, ge=1, le=1024, description="frames in one optimiser step")
    learning_rate: float = Field(1e-3, gt=0, lt=1)
    weight_decay: float = Field(0.02, ge=0, lt=1)
    pasted_defects: float = Field(
        0.3, ge=0, le=1, description="share of good training frames that get a defect pasted in"
    )
    flips: bool = Field(
        False, description="a mirrored frame shows an equally good part: train on those, too"
    )
    seed: int = Field(0, ge=0)


class CostSettings(_Section):
    """Costs in one currency; only their ratios matter."""

    escape: float = Field(50.0, gt=0, description="a defective part passed")
    overkill: float = Field(1.0, gt=0, description="a good part rejected")
    review: float = Field(0.3, gt=0, description="a part looked at by a person")


class LimitSettings(_Section):
    """What a bundle must keep to be promotable. Rates are per part, on the test role."""

    max_escape_rate: float = Field(0.10, gt=0, le=1, description="of defective parts")
    max_overkill_rate: float = Field(0.10, gt=0, le=1, description="of good parts")
    max_review_share: float = Field(0.10, ge=0, le=1, description="of all parts")
    false_reject_rate: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="of good parts, stated for thresholds that come from good parts alone; known "
        "defects may raise it up to max_overkill_rate",
    )
    max_latency_ms: float = Field(200.0, gt=0, description="p99 of one frame, bytes to verdict")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of every interval and bound")


class LineConfig(_Section):
    """All settings of one line."""

    task: str = Field(
        "classification",
        description="a folder of vision_assets.learning: docs/guides/choosing-a-task.md",
    )
    classes: tuple[str, ...] = Field((), description="defect classes, without `good`")
    cameras: tuple[str, ...] = Field((), description="camera ids; empty: any")
    products: tuple[str, ...] = Field((), description="product ids; empty: any")
    time_zone: str = Field("UTC", description="IANA name, for shifts and display only")
    pictures_in_ui: bool = Field(True, description="thumbnails in Dagster's event log")
    ingest: IngestSettings = IngestSettings()
    split: SplitSettings = SplitSettings()
    training: TrainingSettings = TrainingSettings()
    costs: CostSettings = CostSettings()
    limits: LimitSettings = LimitSettings()

    @model_validator(mode="after")
    def _classes_are_distinct(self) -> Self:
        if len(set(self.classes)) != len(self.classes) or "good" in self.classes:
            raise ValueError("classes must be distinct defect classes; `good` is not one of them")
        return self

    @property
    def hash(self) -> str:
        """The name of these settings by content."""
        return content_name(self.model_dump(mode="json"))


def load(store: Store, line: LineKey) -> LineConfig:
    """The current settings of a line.

    Raises:
        NotFound: when the line has none.
        InvalidInput: when the stored document does not fit this version's settings.
    """
    current = documents.latest(store, layout.config(line))
    if current is None:
        raise NotFound(
            f"line {line} has no settings: `vision-assets simulate` or `vision-assets import` "
            "makes them, or give `vision-assets run --config FILE`"
        )
    return _validate(f"settings {current[0]} of line {line}", current[1])


def save(store: Store, line: LineKey, config: LineConfig) -> bool:
    """Make `config` current.

    Returns:
        Whether it differed from what was current.
    """
    document = config.model_dump(mode="json")
    return documents.update(
        store, layout.config(line), lambda current: None if current == document else document
    )[1]


def read_file(path: Path, base: LineConfig) -> LineConfig:
    """Settings from a YAML file.

    The file states its sections (ingest, split, training, costs, limits) completely: what it does
    not name there is the default. What a delivery found out (everything outside sections, and
    ``ingest.channels``) stays as in `base` unless the file names it.

    Raises:
        InvalidInput: naming every wrong field at once.
    """
    try:
        with path.open("rb") as stream:  # a stream has a name, which faults of the syntax state
            value = yaml.safe_load(stream)
    except (OSError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{path} should map names to settings: `training: {{epochs: 20}}`")
    merged = base.model_dump(mode="json")
    for name in sections():
        found = {field: merged[name][field] for field in _FOUND.get(name, ())}
        part = value.pop(name, None)
        merged[name] = {**found, **part} if isinstance(part, dict) else part
        if part is None:  # not named, or named without a setting
            merged[name] = found
    return _validate(str(path), {**merged, **value})


def sections() -> dict[str, type[_Section]]:
    """The sections of the settings by name."""
    fields = LineConfig.model_fields.items()
    return {name: type(field.default) for name, field in fields if _is_section(field.default)}


def flat(config: LineConfig) -> dict[str, Any]:
    """Every setting by its dotted name, as JSON values.

    >>> flat(LineConfig())["limits.confidence"]
    0.95
    """
    found: dict[str, Any] = {}
    for name, value in config.model_dump(mode="json").items():
        if name in sections():
            found |= {f"{name}.{field}": part for field, part in value.items()}
        else:
            found[name] = value
    return found


def changes(old: LineConfig, new: LineConfig) -> dict[str, tuple[Any, Any]]:
    """The settings that differ by their dotted names, each with its old and its new value.

    >>> changes(LineConfig(), LineConfig(time_zone="Europe/Rome"))
    {'time_zone': ('UTC', 'Europe/Rome')}
    """
    before, after = flat(old), flat(new)
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def _is_section(value: object) -> bool:
    return isinstance(value, _Section)


def _validate(what: str, value: object) -> LineConfig:
    try:
        return LineConfig.model_validate(value)
    except ValidationError as error:
        faults = [_fault([str(part) for part in f["loc"]], f) for f in error.errors()]
        raise InvalidInput.listing(f"{what}:", faults) from error


def _fault(place: list[str], error: ErrorDetails) -> str:
    if error["type"] != "extra_forbidden":
        return f"{'.'.join(place)}: {error['msg']}"
    return f"{'.'.join(place)}: unknown{_meant(place)}; docs/reference/line-settings.md lists all"


def _meant(place: list[str]) -> str:
    """The known setting that an unknown one is likely to mean, as a question; empty without one."""
    *section, name = place
    model = sections().get(section[0], LineConfig) if section else LineConfig
    near = difflib.get_close_matches(name, model.model_fields, n=1)
    if not near:  # perhaps it stands in the wrong section
        last = {known.rpartition(".")[2]: known for known in flat(LineConfig())}
        near = [last[each] for each in difflib.get_close_matches(name, last, n=1)]
    return f"; did you mean {near[0]}?" if near else ""
