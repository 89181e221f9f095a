"""What the test parts prove about a limit, and how many further parts would prove it.

Nothing seen is not nothing there: 0 escapes of n parts still allow a rate of about 3/n.
"""

from __future__ import annotations

from inspection.evidence import Gate
from store.errors import InvalidInput
from vision_assets.config import LimitSettings
from vision_assets.evaluation.figures import Bound, Evaluation, Rate
from vision_assets.evaluation.intervals import upper_bound

_MOST_FURTHER = 10_000_000


def certify(found: Rate, limit: float, confidence: float) -> Bound:
    """The exact one-sided upper bound of a rate against its limit.

    Args:
        found: The rate on the test parts.
        limit: The highest rate allowed, in (0, 1].
        confidence: Of the bound.

    Raises:
        InvalidInput: when the limit is not in (0, 1].
    """
    if not 0 < limit <= 1:
        raise InvalidInput(f"limit is {limit}, expected a share above 0 and up to 1")
    events = (found.rate or 0.0) * found.effective
    upper = upper_bound(events, found.effective, confidence)
    return Bound(
        count=found.count,
        of=found.of,
        upper=upper,
        limit=limit,
        proven=upper <= limit,
        further=_further(found, limit, confidence),
    )


def _further(found: Rate, limit: float, confidence: float) -> int:
    """The least number of further parts, none failing, that brings the bound down to the limit.

    Further parts come in groups as large as those so far.
    """
    worth = found.effective / found.of if found.of else 1.0
    events = (found.rate or 0.0) * found.effective

    def proves(more: int) -> bool:
        return upper_bound(events, found.effective + more * worth, confidence) <= limit

    high = 1
    if proves(0):
        return 0
    while not proves(high) and high < _MOST_FURTHER:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high


def against_limits(figures: Evaluation, limits: LimitSettings) -> list[Gate]:
    """The measured rates against the line's limits.

    Returns:
        Gates ``escape_rate``, ``overkill_rate`` and ``review_share``. Without a part to count, a
        rate is not known and its gate does not pass.
    """
    return [
        _rate_gate("escape_rate", figures.escapes, limits.max_escape_rate, "defective parts"),
        _rate_gate("overkill_rate", figures.overkill, limits.max_overkill_rate, "good parts"),
        _rate_gate("review_share", figures.review, limits.max_review_share, "parts"),
    ]


_ADVICE = {
    "escape_rate": "label and deliver more defects like the worst escapes, and train again",
    "overkill_rate": "deliver more good frames like the worst overkills, and train again",
    "review_share": "raise `limits.max_review_share`, or deliver more frames and train again",
}


def _rate_gate(name: str, found: Rate, limit: float, what: str) -> Gate:
    if found.rate is None:
        message = f"the test role has no {what}; deliver batches that have, labelled"
        return Gate(name=name, passed=False, limit=limit, message=message)
    passed = found.rate <= limit
    message = (
        f"{found.count} of {found.of} {what} ({found.rate:.1%}, interval {found.low:.1%} to "
        f"{found.high:.1%}); the limit is {limit:.1%}"
    )
    return Gate(
        name=name,
        passed=passed,
        value=found.rate,
        limit=limit,
        message=message if passed else f"{message}: {_ADVICE[name]}",
        details=found.model_dump(mode="json"),
    )
