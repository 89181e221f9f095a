import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from inspection.decision import Label, Reason, Rule, Thresholds, decide, is_flip, worst
from inspection.outputs import Outputs

CLASSES = ("scratch", "pit", "stain")
SCORES = st.floats(-float(np.float32(3e38)), float(np.float32(3e38)), width=32)
PLAIN = Thresholds(temperature=1.0, pass_below=0.3, reject_from=0.7)
SEVERITY = {Label.PASS: 0, Label.REVIEW: 1, Label.REJECT: 2}


def outputs(
    score: float, class_scores: Iterable[float] = (0.0, 0.0, 0.0), peak: tuple[int, int] = (0, 0)
) -> Outputs:
    heat = np.zeros((1, 4, 8), np.float32)
    heat[0][peak] = 1
    return Outputs(
        np.array([score], np.float32),
        np.array([list(class_scores)], np.float32),
        np.zeros((1, 2), np.float32),
        heat,
    )


@st.composite
def thresholds(draw: st.DrawFn) -> Thresholds:
    low, high = sorted(draw(st.tuples(*[st.floats(0, 1)] * 2)))
    return Thresholds(
        temperature=draw(st.floats(1e-3, 1e3)),
        bias=draw(st.floats(-50, 50)),
        pass_below=low,
        reject_from=high,
    )


def label(score: float, rule: Rule, product: str = "", camera: str = "") -> Label:
    return decide(outputs(score), CLASSES, rule, product, camera).label


@given(thresholds(), st.lists(SCORES, min_size=2))
def test_a_worse_score_never_gets_a_better_verdict(chosen: Thresholds, scores: list[float]) -> None:
    verdicts = [decide(outputs(s), CLASSES, Rule(default=chosen)) for s in sorted(scores)]
    for better, worse in pairwise(verdicts):
        assert better.score <= worse.score
        assert SEVERITY[better.label] <= SEVERITY[worse.label]


@given(thresholds(), SCORES)
def test_neighbouring_float32_scores_are_in_order(chosen: Thresholds, score: float) -> None:
    following = float(np.nextafter(np.float32(score), np.float32(3e38)))
    assert chosen.calibrated(score) <= chosen.calibrated(following)


@given(thresholds(), SCORES)
@example(PLAIN.model_copy(update={"pass_below": 0.5, "reject_from": 0.5}), 0.0)
def test_bands_are_half_open(chosen: Thresholds, score: float) -> None:
    verdict = decide(outputs(score), CLASSES, Rule(default=chosen))
    p = chosen.calibrated(score)
    assert 0 <= p <= 1
    assert verdict.score == p
    if p < chosen.pass_below:
        assert verdict.label is Label.PASS
    elif p >= chosen.reject_from:
        assert verdict.label is Label.REJECT
    else:
        assert verdict.label is Label.REVIEW
    assert bool(verdict.reasons) == (verdict.label is not Label.PASS)


@given(SCORES)
def test_without_a_band_nothing_is_reviewed(score: float) -> None:
    rule = Rule(default=Thresholds(temperature=2, pass_below=0.4, reject_from=0.4))
    assert label(score, rule) is not Label.REVIEW


def test_a_score_on_a_threshold_gets_the_worse_verdict() -> None:
    exact = PLAIN.calibrated(1.25)
    at_pass = PLAIN.model_copy(update={"pass_below": exact, "reject_from": 1.0})
    at_reject = PLAIN.model_copy(update={"pass_below": 0.0, "reject_from": exact})
    assert label(1.25, Rule(default=at_pass)) is Label.REVIEW
    assert label(1.25, Rule(default=at_reject)) is Label.REJECT


@pytest.mark.parametrize(
    ("score", "expected"), [(0.0, 0.5), (2.0, 1 / (1 + math.exp(-1.5))), (-1e30, 0.0), (1e30, 1.0)]
)
def test_calibrated_is_the_stated_formula(score: float, expected: float) -> None:
    chosen = Thresholds(temperature=2.0, bias=0.5, pass_below=0, reject_from=1)
    shifted = expected if score else 1 / (1 + math.exp(-0.5))
    assert chosen.calibrated(score) == pytest.approx(shifted, abs=1e-15)


@given(thresholds(), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_score_that_is_not_finite_is_reviewed(chosen: Thresholds, score: float) -> None:
    verdict = decide(outputs(score), CLASSES, Rule(default=chosen))
    assert verdict.label is Label.REVIEW
    assert verdict.reasons == (Reason("score", "not finite"),)
    assert math.isfinite(verdict.score)


@given(thresholds(), SCORES)
def test_an_unknown_product_is_reviewed(chosen: Thresholds, score: float) -> None:
    rule = Rule(default=chosen, products=("lid", "base"))
    verdict = decide(outputs(score), CLASSES, rule, product="hinge")
    assert verdict.label is Label.REVIEW
    assert verdict.reasons == (Reason("unknown_product", "hinge"),)


@pytest.mark.parametrize(
    ("product", "camera", "unknown"),
    [
        ("lid", "right", [Reason("unknown_camera", "right")]),
        ("", "right", [Reason("unknown_camera", "right")]),
        ("hinge", "", [Reason("unknown_product", "hinge")]),
        ("hinge", "right", [Reason("unknown_camera", "right"), Reason("unknown_product", "hinge")]),
    ],
)
@pytest.mark.parametrize("score", [-9.0, 0.0, 9.0])
def test_unknown_cameras_and_products_are_reviewed(
    score: float, product: str, camera: str, unknown: list[Reason]
) -> None:
    rule = Rule(default=PLAIN, products=("lid", "base"), cameras=("left",))
    verdict = decide(outputs(score), CLASSES, rule, product, camera)
    assert verdict.label is Label.REVIEW
    assert list(verdict.reasons) == unknown


def test_known_and_unnamed_camera_and_product_are_decided() -> None:
    rule = Rule(default=PLAIN, products=("lid",), cameras=("left",))
    assert label(-9, rule, "", "") is Label.PASS
    assert label(-9, rule, "lid", "left") is Label.PASS
    assert label(9, rule, "lid", "left") is Label.REJECT


def test_without_listed_products_and_cameras_any_is_decided() -> None:
    assert label(-9, Rule(default=PLAIN), "anything", "anywhere") is Label.PASS


def test_the_most_specific_thresholds_win() -> None:
    named = {
        key: PLAIN.model_copy(update={"temperature": float(number)})
        for number, key in enumerate(("lid|left", "lid|*", "*|left"), start=2)
    }
    rule = Rule(default=PLAIN, special=named)
    assert rule.thresholds("lid", "left").temperature == 2
    assert rule.thresholds("lid", "right").temperature == 3
    assert rule.thresholds("lid", "").temperature == 3
    assert rule.thresholds("base", "left").temperature == 4
    assert rule.thresholds("", "left").temperature == 4
    assert rule.thresholds("base", "right").temperature == 1
    assert rule.thresholds("", "").temperature == 1
    both_halves = Rule(default=PLAIN, special={k: named[k] for k in ("*|left", "lid|*")})
    assert both_halves.thresholds("lid", "left").temperature == 3


def test_special_thresholds_decide() -> None:
    strict = Thresholds(temperature=1, pass_below=0.0, reject_from=0.0)
    rule = Rule(default=PLAIN, special={"lid|*": strict})
    assert label(-9, rule, "lid") is Label.REJECT
    assert label(-9, rule, "base") is Label.PASS


def test_reasons_name_the_peak_and_the_classes_highest_first() -> None:
    found = decide(outputs(9, (0.6, 0.1, 0.8), peak=(1, 6)), CLASSES, Rule(default=PLAIN))
    score, first, second = found.reasons
    assert (score.code, score.limit, score.x, score.y) == ("score", 0.7, 6.5 / 8, 1.5 / 4)
    assert [(r.code, r.name, r.limit) for r in (first, second)] == [
        ("class", "stain", 0.5),
        ("class", "scratch", 0.5),
    ]
    assert first.value == pytest.approx(0.8)


def test_a_reviewed_frame_says_the_band() -> None:
    (reason,) = decide(outputs(0), CLASSES, Rule(default=PLAIN)).reasons
    assert (reason.code, reason.value, reason.limit) == ("band", 0.5, 0.3)


def test_a_map_and_classes_that_are_not_numbers_do_not_stop_a_verdict() -> None:
    broken = outputs(9, (math.nan, 0.9, math.nan))
    broken.map[:] = math.nan
    verdict = decide(broken, CLASSES, Rule(default=PLAIN))
    assert verdict.label is Label.REJECT
    assert [r.name for r in verdict.reasons if r.code == "class"] == ["pit"]


@given(thresholds(), SCORES, st.tuples(*[st.floats(0, 1, width=32)] * 3))
def test_deciding_changes_nothing_and_repeats(
    chosen: Thresholds, score: float, class_scores: tuple[float, ...]
) -> None:
    given_outputs, rule = outputs(score, class_scores), Rule(default=chosen)
    before = [array.tobytes() for array in vars(given_outputs).values() if array is not None]
    first = decide(given_outputs, CLASSES, rule, "lid", "left")
    assert decide(given_outputs, CLASSES, rule, "lid", "left") == first
    after = [array.tobytes() for array in vars(given_outputs).values() if array is not None]
    assert after == before


@given(thresholds(), SCORES)
def test_a_rule_that_was_stored_decides_alike(chosen: Thresholds, score: float) -> None:
    rule = Rule(default=chosen, special={"lid|*": chosen}, products=("lid",), cameras=("left",))
    stored = Rule.model_validate_json(rule.model_dump_json())
    assert stored == rule
    assert decide(outputs(score), CLASSES, stored) == decide(outputs(score), CLASSES, rule)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0},
        {"temperature": -1},
        {"temperature": math.inf},
        {"temperature": math.nan},
        {"bias": math.nan},
        {"bias": math.inf},
        {"pass_below": -0.1},
        {"pass_below": math.nan},
        {"reject_from": 1.1},
        {"reject_from": math.nan},
        {"class_from": math.nan},
        {"pass_below": 0.8, "reject_from": 0.7},
        {"threshold": 0.5},
    ],
)
def test_wrong_thresholds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Thresholds.model_validate({**PLAIN.model_dump(), **wrong})


@pytest.mark.parametrize("key", ["lid", "", "|", "lid|", "|left", "a|b|c", "*|*"])
def test_a_special_key_that_could_never_match_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match=r"product\|camera"):
        Rule(default=PLAIN, special={key: PLAIN})


@given(st.lists(st.sampled_from(Label), min_size=1))
def test_a_part_is_as_bad_as_its_worst_frame(labels: list[Label]) -> None:
    assert SEVERITY[worst(labels)] == max(SEVERITY[one] for one in labels)


@pytest.mark.parametrize("reference", Label)
@pytest.mark.parametrize("other", Label)
def test_only_a_reviewed_reference_may_change(reference: Label, other: Label) -> None:
    expected = reference is not Label.REVIEW and other is not reference
    assert is_flip(reference, other) is expected


def test_reject_from_one_rejects_no_score_however_high() -> None:
    rule = Rule(default=Thresholds(temperature=1e-3, bias=0, pass_below=0.5, reject_from=1))
    assert label(1e30, rule) is Label.REVIEW
