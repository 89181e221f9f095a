"""The check of one line as one file: templates, limits and rule, named by its hash."""

from __future__ import annotations

import base64
import functools
from typing import Literal, Self

import cv2
import numpy as np
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError, model_validator

from inspection.contract import Contract
from inspection.decision import Rule
from inspection.rulebased.align import Plane
from inspection.rulebased.measures import Limits
from inspection.rulebased.template import Template, Tolerance
from store.errors import Corrupt
from store.hashing import canonical_json, content_name, sha256

FILE = "check.json"
PREFIX = "rule-based"


class Golden(BaseModel):
    """The template of one product on one camera, and the limits of its good frames.

    Planes are PNG files. Empty names stand for frames that name none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    product: str
    camera: str
    mean: Base64Bytes
    lower: Base64Bytes
    upper: Base64Bytes
    limits: Limits

    @classmethod
    def of(cls, template: Template, limits: Limits, *, product: str, camera: str) -> Golden:
        """The stored form of a template."""
        planes = {
            name: base64.b64encode(cv2.imencode(".png", plane)[1].tobytes())
            for name, plane in vars(template).items()
        }
        names = {"product": product, "camera": camera}
        return cls.model_validate({**names, **planes, "limits": limits})

    @functools.cached_property
    def template(self) -> Template:
        """The template, decoded.

        Raises:
            Corrupt: when a plane is no PNG file, or their sizes differ.
        """
        planes = [_decoded(data) for data in (self.mean, self.lower, self.upper)]
        if len({plane.shape for plane in planes}) != 1:
            raise Corrupt(
                f"the template of product {self.product!r}, camera {self.camera!r} has planes of "
                "several sizes; make the check again"
            )
        return Template(*planes)


class Check(BaseModel):
    """Everything that determines the answers of a rule-based check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    contract: Contract = Field(description="what it accepts; frames are resized to this size")
    rule: Rule = Field(description="thresholds on the natural logarithm of the mass + 1")
    tolerance: Tolerance
    templates: tuple[Golden, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _templates_differ(self) -> Self:
        keys = [(golden.product, golden.camera) for golden in self.templates]
        if len(set(keys)) != len(keys):
            raise ValueError(f"two templates are of the same product and camera: {keys}")
        return self

    def golden(self, product: str, camera: str) -> Golden | None:
        """The template for a frame; None when none or several could be meant.

        A frame that names no product or camera is compared with the only template that fits.
        """
        fitting = [
            golden
            for golden in self.templates
            if product in ("", golden.product) and camera in ("", golden.camera)
        ]
        exact = [g for g in fitting if (g.product, g.camera) == (product, camera)]
        found = exact or fitting
        return found[0] if len(found) == 1 else None

    def to_bytes(self) -> bytes:
        """The file's content; equal checks give equal bytes."""
        return canonical_json(self.model_dump(mode="json"))


def name_of(data: bytes) -> str:
    """The name of the check in these bytes, as a bundle's: the hash of its files' hashes."""
    return content_name({FILE: sha256(data)})


def parse(data: bytes, name: str) -> Check:
    """The check in a file.

    Raises:
        Corrupt: when the bytes are not the check of that name, or this version cannot read them.
    """
    if name_of(data) != name:
        raise Corrupt(f"the bytes of check {name} are those of {name_of(data)}; fetch it again")
    try:
        return Check.model_validate_json(data)
    except ValidationError as error:
        raise Corrupt(f"check {name} cannot be read by this version: {error}") from error


def _decoded(data: bytes) -> Plane:
    plane = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if plane is None:
        raise Corrupt("a plane of the template is no PNG file; make the check again")
    return np.asarray(plane, np.uint8)
