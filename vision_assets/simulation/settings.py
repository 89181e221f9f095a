"""What a simulated batch looks like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

KINDS = ("scratch", "pit", "stain", "crack", "chip")
"""The defect classes of a simulated line."""

UNSEEN_KINDS = ("burr", "discolouration")
"""Classes that a line has not had before, for drift."""

ALL_KINDS = KINDS + UNSEEN_KINDS

Material = Literal["turned", "brushed", "moulded"]
UnseenKind = Literal["burr", "discolouration"]
_Shift = Annotated[float, Field(ge=-80, le=80)]


class SimulationSettings(BaseModel):
    """One rendered batch; equal settings and an equal batch name give equal bytes.

    Every part is seen once by every camera, each of which looks at a face of its own. A defect is
    on one face; a chip at the rim is seen from the next face too. Labels say what is visible in
    the frame, so with several cameras a defective part has good frames.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int = Field(
        ge=1, le=1_000_000, description="frames in the batch; the last part may lack some cameras"
    )
    defect_rate: float = Field(0.1, ge=0, le=1, description="share of parts with a defect")
    cameras: int = Field(1, ge=1, le=8, description="frames of one part, one from each camera")
    seed: int = Field(0, ge=0, lt=2**63, description="with the batch's name, of all randomness")
    start: AwareDatetime | None = Field(
        None, description="capture time of the first frame; None: from the batch's name, in 2024"
    )
    product: str = Field("cover-a", min_length=1, description="what the line makes")
    material: Material = Field("turned", description="of the parts, whatever the product is called")
    lighting: float = Field(
        1.0, ge=0.2, le=3, description="drift: brightness of the lamp against its nominal one"
    )
    focus_px: float = Field(
        0.0, ge=0, le=10, description="drift: sigma of the blur of a lens out of focus"
    )
    shift_px: tuple[_Shift, _Shift] = Field(
        (0.0, 0.0), description="drift: how far the view has moved, right and down"
    )
    unseen_kind: UnseenKind = Field(
        "burr", description="drift: the class of defects that the line has not had before"
    )
    unseen_share: float = Field(
        0.0, ge=0, le=1, description="drift: share of defective parts with only the unseen kind"
    )
