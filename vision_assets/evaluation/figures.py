"""The figures of an evaluation: what ``evaluation.json`` holds, typed for whoever reads it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from inspection.decision import Thresholds


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Figures):
    """A figure with its interval at the evaluation's confidence."""

    value: float
    low: float
    high: float
    method: str = Field(description="how the interval was made")

    def __str__(self) -> str:
        """The figure with its interval, for people.

        >>> str(Estimate(value=0.9, low=0.8, high=0.95, method="bootstrap"))
        '0.900 [0.800, 0.950]'
        """
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Rate(_Figures):
    """A share of parts or frames with its exact interval."""

    count: int = Field(ge=0)
    of: int = Field(ge=0)
    rate: float | None = Field(description="count / of; None when there is nothing to count")
    low: float
    high: float
    effective: float = Field(description="independent parts that would tell as much as these")

    def __str__(self) -> str:
        """Counts, rate and interval, for people.

        >>> str(Rate(count=1, of=20, rate=0.05, low=0.001, high=0.249, effective=20))
        '1 of 20 = 5.0 % [0.1, 24.9]'
        """
        if self.rate is None:
            return "none to judge by"
        interval = f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{self.count} of {self.of} = {100 * self.rate:.1f} % {interval}"


class Band(_Figures):
    """What the review band is worth: the same parts decided by one cut without it."""

    cut: float = Field(description="on the calibrated score; chosen on `calibrate` like the band")
    escapes: Rate
    overkill: Rate
    cost: float = Field(description="per part")


class Bound(_Figures):
    """How far a limit on a rate is proven, at the evaluation's confidence."""

    count: int
    of: int
    upper: float = Field(description="exact one-sided upper bound of the rate")
    limit: float
    proven: bool = Field(description="whether `upper` keeps the limit")
    further: int = Field(
        description="parts without another failure that would prove the limit; 0 when proven"
    )


class ClassFigures(_Figures):
    """One defect class."""

    name: str
    frames: int
    parts: int
    escapes: Rate = Field(description="defective parts of the class that were passed")
    recall: Rate = Field(description="frames of the class that were not passed and named so")
    auroc: float | None = Field(description="its frames against the good ones")


class Confusion(_Figures):
    """Frames by what they are (rows) and what they were taken for (columns)."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Bin(_Figures):
    """Frames whose calibrated score lies in [from_p, to_p)."""

    from_p: float
    to_p: float
    frames: int
    mean_p: float
    defective: Rate


class Calibration(_Figures):
    """How far the calibrated score is a probability, on the test frames."""

    formula: str
    temperature: float
    bias: float
    ece: float = Field(description="expected calibration error: mean |defective share - mean p|")
    brier: float = Field(description="mean (p - label)^2")
    bins: tuple[Bin, ...]


class Count(_Figures):
    """What a role holds."""

    frames: int
    parts: int
    groups: int
    good_parts: int
    defective_parts: int


class Localisation(_Figures):
    """How well maps show where defects are, on test frames whose mask is known."""

    frames: int
    regions: int = Field(description="defective regions in their masks")
    pixel_auroc: Estimate
    aupro: Estimate = Field(description="up to 30 % false-positive pixels")


class Overlap(_Figures):
    """How far the segments of one class cover its masks, over all pixels of the test frames."""

    name: str
    pixels: int = Field(description="of the class, in the masks")
    iou: Estimate
    dice: Estimate


class SizeFigures(_Figures):
    """Defective parts by how much of their frame the defect covers."""

    from_share: float
    to_share: float
    parts: int
    escapes: Rate


class Measured(_Figures):
    """What was measured on the role `test`."""

    confidence: float = Field(description="of every interval and bound")
    resampled: str = Field(description="what is alike and counted together: `group` or `part`")
    auroc: Estimate | None = Field(description="of frames; None when test lacks a label")
    average_precision: Estimate | None = Field(description="of frames, as `auroc`")
    f2: float | None = Field(description="of parts, with the band closed")
    escapes: Rate = Field(description="of defective parts")
    overkill: Rate = Field(description="of good parts")
    review: Rate = Field(description="of all parts")
    cost: float = Field(description="per part, in the unit of the line's costs")
    band_closed: Band
    per_class: tuple[ClassFigures, ...]
    confusion: Confusion
    calibration: Calibration
    certificate: dict[str, Bound] = Field(description="`escapes` and `overkill`")


class Evaluation(Measured):
    """Everything about one model on one snapshot: the content of ``evaluation.json``."""

    version: int = 1
    model: str
    snapshot: str
    localisation: Localisation | None = Field(None, description="None without masks")
    overlaps: tuple[Overlap, ...] = Field((), description="of a task that gives segments")
    by_size: tuple[SizeFigures, ...] = Field((), description="of parts whose mask is known")
    config: str = Field(description="hash of the line's settings")
    classes: tuple[str, ...]
    thresholds: Thresholds
    counts: dict[str, Count] = Field(description="by role")
    unreadable: dict[str, str] = Field(description="frames that were refused, with the message")
    seeds: dict[str, int]
    warnings: tuple[str, ...]

    def headline(self) -> dict[str, Estimate | Rate | None]:
        """What a person looks at first, by name; None where nothing shows it."""
        where = self.localisation
        return {
            "AUROC": self.auroc,
            "average precision": self.average_precision,
            **({"pixel AUROC": where.pixel_auroc, "AUPRO": where.aupro} if where else {}),
            **{f"IoU {each.name}": each.iou for each in self.overlaps},
            "escapes": self.escapes,
            "overkill": self.overkill,
            "review": self.review,
            "escapes, band closed": self.band_closed.escapes,
            "overkill, band closed": self.band_closed.overkill,
        }
