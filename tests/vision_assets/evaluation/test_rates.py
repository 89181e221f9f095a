from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score

from inspection.decision import Label
from vision_assets.config import CostSettings
from vision_assets.evaluation import rates
from vision_assets.evaluation.intervals import clopper_pearson

verdicts = st.sampled_from([label.value for label in Label])


def _frames(*rows: tuple[str, str, str]) -> pl.DataFrame:
    """Frames from (part, label, verdict); each part is its own group."""
    return pl.DataFrame(
        {
            "part": [row[0] for row in rows],
            "group": [f"part:{row[0]}" for row in rows],
            "label": [row[1] for row in rows],
            "classes": [["pit"] if row[1] == "defect" else [] for row in rows],
            "p": [index / 10 for index in range(len(rows))],
            "verdict": [row[2] for row in rows],
            "closed": ["PASS" if row[2] == "PASS" else "REJECT" for row in rows],
        },
        schema_overrides={"classes": pl.List(pl.String)},
    )


EXAMPLE = _frames(
    ("a", "good", "PASS"),
    ("a", "good", "REJECT"),  # overkill: one frame is enough
    ("b", "defect", "PASS"),
    ("b", "good", "PASS"),  # escape: the defect is seen by one frame only
    ("c", "defect", "PASS"),
    ("c", "defect", "REVIEW"),  # neither
    ("d", "good", "REVIEW"),  # neither
    ("e", "good", "PASS"),
    ("f", "good", "REJECT"),
    ("f", "defect", "PASS"),  # caught, be it by the frame that shows nothing
)


def test_a_part_is_as_bad_as_its_worst_frame() -> None:
    parts = rates.to_parts(EXAMPLE)
    assert parts.select("part", "defective", "verdict").rows() == [
        ("a", False, "REJECT"),
        ("b", True, "PASS"),
        ("c", True, "REVIEW"),
        ("d", False, "REVIEW"),
        ("e", False, "PASS"),
        ("f", True, "REJECT"),
    ]
    assert parts["p"].to_list() == [0.1, 0.3, 0.5, 0.6, 0.7, 0.9]
    assert parts["classes"].to_list() == [[], ["pit"], ["pit"], [], [], ["pit"]]


def test_rates_worked_by_hand() -> None:
    parts = rates.to_parts(EXAMPLE)
    escapes = rates.escapes(parts, "part", 0.95)
    overkill = rates.overkill(parts, "part", 0.95)
    review = rates.review(parts, "part", 0.95)
    assert (escapes.count, escapes.of, escapes.rate) == (1, 3, 1 / 3)
    assert (overkill.count, overkill.of) == (1, 3)
    assert (review.count, review.of) == (2, 6)
    assert (escapes.low, escapes.high) == clopper_pearson(1, 3, 0.95)
    assert (review.low, review.high) == clopper_pearson(2, 6, 0.95)


def test_the_band_can_be_closed() -> None:
    parts = rates.to_parts(EXAMPLE)
    assert rates.escapes(parts, "part", 0.95, "closed").count == 1
    assert rates.overkill(parts, "part", 0.95, "closed").count == 2


def test_costs_worked_by_hand() -> None:
    parts = rates.to_parts(EXAMPLE)
    costs = CostSettings(escape=50, overkill=2, review=0.5)
    assert rates.cost_of_parts(parts, costs).tolist() == [2.0, 50.0, 0.5, 0.5, 0.0, 0.0]
    assert rates.cost_of_parts(parts, costs, "closed").tolist() == [2.0, 50.0, 0.0, 2.0, 0.0, 0.0]


def test_without_a_part_a_rate_is_not_known() -> None:
    found = rates.rate(np.zeros(0, np.bool_), 0.95)
    assert (found.count, found.of, found.rate, found.low, found.high) == (0, 0, None, 0.0, 1.0)
    empty = rates.to_parts(EXAMPLE).head(0)
    assert rates.escapes(empty, "group", 0.95) == found


def test_copies_of_one_part_widen_the_interval() -> None:
    rows = [
        (f"p{n}-{copy}", "defect", "PASS" if n < 2 else "REJECT")
        for n in range(20)
        for copy in range(5)
    ]
    frames = _frames(*rows).with_columns(
        pl.col("part").str.split("-").list.first().alias("group"),
        pl.Series("p", np.repeat(np.arange(20), 5) / 20),
    )
    parts = rates.to_parts(frames)
    alike, apart = (rates.escapes(parts, unit, 0.95) for unit in ("group", "part"))
    assert alike.rate == apart.rate == 0.1
    assert alike.effective == pytest.approx(20)
    assert (alike.low, alike.high) == pytest.approx(clopper_pearson(2, 20, 0.95))
    assert (apart.low, apart.high) == clopper_pearson(10, 100, 0.95)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_f2_is_that_of_scikit_learn(rows: list[tuple[bool, bool]]) -> None:
    parts = rates.to_parts(
        _frames(
            *(
                (f"p{index}", "defect" if bad else "good", "REJECT" if rejected else "PASS")
                for index, (bad, rejected) in enumerate(rows)
            )
        )
    )
    truth, found = [row[0] for row in rows], [row[1] for row in rows]
    if any(truth):
        oracle = fbeta_score(truth, found, beta=2, zero_division=0)
        assert rates.f2(parts) == pytest.approx(oracle)
    else:
        assert rates.f2(parts) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), verdicts), min_size=1, max_size=30))
def test_every_part_is_counted_once(rows: list[tuple[int, bool, str]]) -> None:
    frames = _frames(*((f"p{n}", "defect" if bad else "good", v) for n, bad, v in rows))
    parts = rates.to_parts(frames)
    escapes, overkill = (of(parts, "part", 0.9) for of in (rates.escapes, rates.overkill))
    assert escapes.of + overkill.of == len({row[0] for row in rows}) == len(parts)
    passed = set(parts.filter(pl.col("verdict") == "PASS")["part"])
    for part in passed:
        assert set(frames.filter(pl.col("part") == part)["verdict"]) == {"PASS"}
    assert rates.to_parts(frames.sort("verdict", "label")).drop("p").equals(parts.drop("p"))


@pytest.mark.parametrize(("groups", "unit"), [(4, "part"), (5, "group")])
def test_few_groups_of_a_label_cannot_tell_how_alike_parts_are(groups: int, unit: str) -> None:
    frames = pl.DataFrame(
        {
            "group": [f"g{n % groups}" for n in range(30)] + [f"h{n}" for n in range(30)],
            "label": ["defect"] * 30 + ["good"] * 30,
        }
    )
    assert rates.unit_to_resample(frames) == unit


def test_numbers_stand_for_names() -> None:
    assert rates.numbered(pl.Series(["b", "a", "b"])).tolist() == [1, 0, 1]
