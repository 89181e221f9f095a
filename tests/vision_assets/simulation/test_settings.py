from datetime import datetime

import pytest
from pydantic import ValidationError

from vision_assets.simulation.settings import (
    ALL_KINDS,
    KINDS,
    UNSEEN_KINDS,
    SimulationSettings,
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frames", 0),
        ("frames", 1_000_001),
        ("defect_rate", -0.1),
        ("defect_rate", 1.1),
        ("cameras", 0),
        ("cameras", 9),
        ("seed", -1),
        ("seed", 2**63),
        ("start", datetime(2026, 1, 1)),
        ("product", ""),
        ("material", "wood"),
        ("lighting", 0.1),
        ("lighting", 4),
        ("focus_px", -1),
        ("focus_px", 11),
        ("shift_px", (81, 0)),
        ("shift_px", (0, -81)),
        ("shift_px", (1,)),
        ("unseen_kind", "scratch"),
        ("unseen_share", 1.5),
        ("colour", "red"),
    ],
)
def test_a_value_out_of_bounds_is_named(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        SimulationSettings.model_validate({"frames": 10, field: value})


def test_every_field_says_what_it_is() -> None:
    fields = SimulationSettings.model_fields
    assert [name for name, field in fields.items() if not field.description] == []


def test_unseen_kinds_are_none_of_the_lines_classes() -> None:
    assert not set(KINDS) & set(UNSEEN_KINDS)
    assert len(set(ALL_KINDS)) == len(ALL_KINDS)
