"""Which progress is worth a line in a log, and how long the work will still take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

SECONDS_BETWEEN_LINES = 5.0


@dataclass
class Pace:
    """Turns progress into lines: the first of a kind of work, its last, and one each five seconds.

    Work is of the same kind while its first word stays: ``epoch 3/30`` and ``epoch 4/30`` are.
    What has no end (total 0) is a statement, and always worth a line.
    """

    _kind: str = field(default="", init=False)
    _told_at: float = field(default=0.0, init=False)
    _began: tuple[float, int] = field(default=(0.0, 0), init=False)

    def __call__(self, what: str, done: int, total: int, now: float | None = None) -> str | None:
        """The line to tell, or None.

        Args:
            what: As in `vision_assets.progress.Progress`.
            done: Units finished.
            total: Of so many; 0 when that is not known.
            now: Seconds of a monotonic clock; None for the machine's.
        """
        now = time.monotonic() if now is None else now
        kind = what.partition(" ")[0]
        is_new = kind != self._kind
        if is_new:
            self._kind, self._began = kind, (now, done)
        is_due = now - self._told_at >= SECONDS_BETWEEN_LINES
        if total and not (is_new or is_due or done == total):
            return None
        self._told_at = now
        return f"{what} {done}/{total}{self._left(done, total, now)}" if total else what

    def _left(self, done: int, total: int, now: float) -> str:
        """How long it will still take at the pace so far; empty until that can be said."""
        since, first = self._began
        if done == total or done <= first or now - since < SECONDS_BETWEEN_LINES:
            return ""
        return f", about {duration((now - since) / (done - first) * (total - done))} left"


def duration(seconds: float) -> str:
    """A duration in the unit that people would use.

    >>> duration(42), duration(150), duration(5400)
    ('42 s', '2 min 30 s', '1 h 30 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
