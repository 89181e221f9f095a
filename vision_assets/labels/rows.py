"""Label rows of a delivery: JSON lines in, validated rows and faults out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

Kind = Literal["row", "no_frame", "outside_image", "unknown_class", "mask", "event"]


@dataclass(frozen=True)
class Fault:
    """Why one label was kept out.

    Attributes:
        kind: ``row`` (not JSON, unknown field, wrong value), ``no_frame``, ``outside_image``,
            ``unknown_class``, ``mask`` (missing, wrong size, value without a class) or ``event``
            (contradicts another row, reuses an id, retracts what does not exist).
        message: Which row, what was found, what was expected.
    """

    kind: Kind
    message: str


class Box(BaseModel):
    """A rectangle around one defect, in pixels from the top left corner of the frame."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = Field(alias="class", min_length=1)
    x: float = Field(allow_inf_nan=False)
    y: float = Field(allow_inf_nan=False)
    width: float = Field(gt=0, allow_inf_nan=False)
    height: float = Field(gt=0, allow_inf_nan=False)

    def to_row(self) -> dict[str, object]:
        """The JSON object of a label row."""
        return self.model_dump(by_alias=True)


class LabelRow(BaseModel):
    """One row of ``labels.jsonl`` as `store.landing` describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str | None = None
    frame_id: str | None = None
    label: Literal["good", "defect"] | None = None
    classes: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    mask: str | None = None
    mask_classes: tuple[str, ...] = ()
    source: Literal["adjudicated", "reviewed", "human", "imported", "model"] = "imported"
    author: str = ""
    recorded_at: AwareDatetime | None = None
    event_id: str | None = Field(None, min_length=1)
    retracts: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _says_something_consistent(self) -> Self:
        if self.file is None and self.frame_id is None:
            raise ValueError("names neither file nor frame_id")
        if self.label is None and self.retracts is None:
            raise ValueError("has no label: expected good or defect")
        if self.label != "defect" and (self.classes or self.boxes):
            raise ValueError("names defect classes or boxes but is not labelled defect")
        if self.label is None and self.mask is not None:
            raise ValueError("brings a mask but no label")
        return self

    @property
    def named_classes(self) -> tuple[str, ...]:
        """Every class the row itself names, sorted, without what its mask shows."""
        return tuple(sorted({*self.classes, *(box.name for box in self.boxes)}))


@dataclass(frozen=True)
class NumberedRow:
    """A row with its line in the file, counted from 1."""

    number: int
    row: LabelRow

    @property
    def where(self) -> str:
        """How a fault names this row."""
        return f"line {self.number} ({self.row.file or self.row.frame_id})"


def parse(text: bytes) -> Iterator[NumberedRow | Fault]:
    """Rows of a label file in order, a fault in the place of each that is none."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield _parse_line(number, line)


def _parse_line(number: int, line: bytes) -> NumberedRow | Fault:
    try:
        value = json.loads(line)
    except ValueError as error:
        return Fault("row", f"line {number}: not JSON ({error})")
    if not isinstance(value, dict):
        return Fault("row", f"line {number}: {type(value).__name__}, expected a JSON object")
    try:
        return NumberedRow(number, LabelRow.model_validate(value))
    except ValidationError as error:
        return Fault("row", f"line {number} ({value.get('file', '?')}): {_reasons(error)}")


def _reasons(error: ValidationError) -> str:
    reasons = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"])
        text = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            text = "is no field of a label row"
        reasons.append(f"{place}: {text}" if place else text)
    return "; ".join(reasons)
