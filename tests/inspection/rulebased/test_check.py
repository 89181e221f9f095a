"""The check as a file: equal checks have equal names, any other byte is refused."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from pydantic import ValidationError

from inspection.rulebased.check import Check, Golden, name_of, parse
from store.errors import Corrupt


def test_it_survives_the_file(golden_check: Check) -> None:
    data = golden_check.to_bytes()
    again = parse(data, name_of(data))
    assert again == golden_check
    assert again.to_bytes() == data
    for before, after in zip(golden_check.templates, again.templates, strict=True):
        assert np.array_equal(before.template.lower, after.template.lower)


def test_other_bytes_are_refused(golden_check: Check) -> None:
    data = golden_check.to_bytes()
    with pytest.raises(Corrupt, match="fetch it again"):
        parse(data[:-1] + b" ", name_of(data))
    with pytest.raises(Corrupt, match="cannot be read by this version"):
        parse(b"{}", name_of(b"{}"))


@pytest.mark.parametrize(
    ("product", "camera", "expected"),
    [
        ("a", "top", "a"),
        ("b", "", "b"),
        ("", "top", None),  # either of two
        ("c", "top", None),
        ("a", "side", None),
    ],
)
def test_the_template_that_is_meant(
    golden_check: Check, product: str, camera: str, expected: str | None
) -> None:
    found = golden_check.golden(product, camera)
    assert (found.product if found else None) == expected


def test_the_only_template_fits_a_frame_that_names_nothing(golden_check: Check) -> None:
    only = golden_check.model_copy(update={"templates": golden_check.templates[:1]})
    assert only.golden("", "") == golden_check.templates[0]


def test_one_template_for_each_product_and_camera(golden_check: Check) -> None:
    twice = [golden_check.templates[0]] * 2
    with pytest.raises(ValidationError, match="same product and camera"):
        Check.model_validate({**golden_check.model_dump(), "templates": _stored(twice)})


def test_a_plane_that_is_no_picture_is_refused(golden_check: Check) -> None:
    broken = _stored(golden_check.templates[:1])[0] | {"mean": base64.b64encode(b"no picture")}
    with pytest.raises(Corrupt, match="no PNG file"):
        _ = Golden.model_validate(broken).template


def _stored(templates: object) -> list[dict[str, object]]:
    assert isinstance(templates, list | tuple)
    return [golden.model_dump(mode="json") for golden in templates]
