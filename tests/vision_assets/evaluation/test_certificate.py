from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from store.errors import InvalidInput
from vision_assets.config import LimitSettings
from vision_assets.evaluation.certificate import against_limits, certify
from vision_assets.evaluation.figures import Evaluation, Rate
from vision_assets.evaluation.rates import rate


def _rate(count: int, of: int, effect: float = 1.0) -> Rate:
    return rate(np.arange(of) < count, 0.95, effect)


def test_nothing_of_29_proves_a_tenth_and_nothing_of_28_does_not() -> None:
    assert certify(_rate(0, 29), 0.1, 0.95).proven
    found = certify(_rate(0, 28), 0.1, 0.95)
    assert (found.proven, found.further) == (False, 1)
    assert found.upper == pytest.approx(1 - 0.05 ** (1 / 28))


def test_without_any_part_the_whole_proof_is_missing() -> None:
    found = certify(_rate(0, 0), 0.01, 0.95)
    assert (found.upper, found.proven, found.further) == (1.0, False, 299)  # 0.99^299 < 0.05


@given(st.integers(0, 6), st.integers(0, 60), st.floats(0.02, 0.5))
def test_further_parts_are_just_enough(count: int, rest: int, limit: float) -> None:
    of = count + rest
    found = certify(_rate(count, of), limit, 0.95)
    # Proven means: at the limit, so few failures would be seen in less than a twentieth of cases.
    assert binom.cdf(count, of + found.further, limit) <= 0.05 + 1e-9
    if found.further:
        assert not found.proven
        assert binom.cdf(count, of + found.further - 1, limit) > 0.05 - 1e-9
    else:
        assert found.proven


def test_parts_that_are_alike_prove_less() -> None:
    apart, alike = certify(_rate(0, 60), 0.05, 0.95), certify(_rate(0, 60, 6.0), 0.05, 0.95)
    assert apart.proven
    assert alike.upper == pytest.approx(1 - 0.05 ** (1 / 10))
    assert alike.further == math.ceil(6 * math.log(0.05) / math.log(0.95)) - 60


def test_a_limit_of_one_is_always_kept() -> None:
    assert certify(_rate(3, 3), 1.0, 0.95).proven


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.1])
def test_a_limit_that_is_no_share_is_refused(limit: float) -> None:
    with pytest.raises(InvalidInput, match="limit is"):
        certify(_rate(0, 3), limit, 0.95)


def _with(figures: Evaluation, **changes: Rate) -> Evaluation:
    return figures.model_copy(update=changes)


def test_rates_within_the_limits_pass(figures: Evaluation) -> None:
    kept = _with(figures, escapes=_rate(1, 10), overkill=_rate(1, 10), review=_rate(1, 10))
    gates = against_limits(kept, LimitSettings())
    assert [gate.name for gate in gates] == ["escape_rate", "overkill_rate", "review_share"]
    assert all(gate.passed for gate in gates)
    assert gates[0].message == (
        "1 of 10 defective parts (10.0%, interval 0.3% to 44.5%); the limit is 10.0%"
    )


@pytest.mark.parametrize(
    ("field", "gate", "advice"),
    [
        ("escapes", "escape_rate", "worst escapes"),
        ("overkill", "overkill_rate", "worst overkills"),
        ("review", "review_share", "max_review_share"),
    ],
)
def test_each_rate_has_its_own_gate(
    figures: Evaluation, field: str, gate: str, advice: str
) -> None:
    clean = {name: _rate(0, 10) for name in ("escapes", "overkill", "review")}
    gates = against_limits(_with(figures, **{**clean, field: _rate(2, 10)}), LimitSettings())
    failed = [each for each in gates if not each.passed]
    assert [each.name for each in failed] == [gate]
    assert (failed[0].value, failed[0].limit) == (0.2, 0.1)
    assert advice in failed[0].message


def test_a_rate_of_no_parts_is_not_known_and_does_not_pass(figures: Evaluation) -> None:
    gate = against_limits(_with(figures, escapes=_rate(0, 0)), LimitSettings())[0]
    assert (gate.passed, gate.value) == (False, None)
    assert "no defective parts" in gate.message
