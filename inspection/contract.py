"""What a bundle accepts and what its graph gives: the contract between training and the line."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inspection.outputs import MORE_NAMES, OUTPUT_NAMES

_Start = Annotated[int, Field(ge=0)]
_Extent = Annotated[int, Field(ge=1)]


class InputSpec(BaseModel):
    """How encoded bytes become the graph's input, in this order: header, decode, crop, resize.

    The graph takes ``(N, height, width, channels) uint8`` and does cast, channel expansion and
    normalisation itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Literal[1, 3] = Field(description="1 grey, 3 RGB; frames that differ are refused")
    height: int = Field(ge=1, description="pixels, after resizing")
    width: int = Field(ge=1, description="pixels, after resizing")
    crop: tuple[_Start, _Start, _Extent, _Extent] | None = Field(
        None, description="x, y, width, height in pixels of the frame; None: the whole frame"
    )
    reduced_decode: Literal[1, 2, 4, 8] = Field(
        1, description="JPEG decoded at 1/n; changes grey levels, so part of the contract"
    )
    max_pixels: int = Field(50_000_000, ge=1, description="larger frames are not decoded")
    min_side_px: int = Field(1, ge=1, description="frames with a shorter side are refused")


class Contract(BaseModel):
    """The contract of one bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    task: str
    classes: tuple[str, ...] = Field(description="defect classes, in the order of `class_scores`")
    input: InputSpec
    embedding_size: int = Field(ge=1)
    map_height: int = Field(ge=1, description="cells of `map`")
    map_width: int = Field(ge=1, description="cells of `map`")
    stats_version: int = Field(description="version of the tier-1 statistics")
    segments: tuple[_Extent, _Extent] | None = Field(
        None, description="rows and columns of `segments`; None: the graph has none"
    )
    boxes: _Extent | None = Field(
        None, description="most boxes of a frame; None: the graph has no `boxes`"
    )

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of the graph, in the order of `Outputs`."""
        given = {"segments": self.segments, "boxes": self.boxes}
        return (*OUTPUT_NAMES, *(name for name in MORE_NAMES if given[name] is not None))

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {self.classes} name one twice")
        return self
