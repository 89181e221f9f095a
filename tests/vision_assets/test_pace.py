"""Progress in a log: few lines, and how long it will still take."""

from __future__ import annotations

from vision_assets.pace import Pace


def told(*calls: tuple[float, str, int, int]) -> list[str]:
    pace = Pace()
    lines = [pace(what, done, total, now) for now, what, done, total in calls]
    return [line for line in lines if line is not None]


def test_quick_epochs_are_a_line_every_five_seconds() -> None:
    calls = [(100.0 + n, f"epoch {n + 1}/12", n + 1, 12) for n in range(12)]
    assert told(*calls) == [
        "epoch 1/12 1/12",
        "epoch 6/12 6/12, about 6 s left",
        "epoch 11/12 11/12, about 1 s left",
        "epoch 12/12 12/12",
    ]


def test_other_work_begins_with_a_line_of_its_own() -> None:
    assert told((1, "reading masks", 1, 9), (2, "checking frames", 1, 9)) == [
        "reading masks 1/9",
        "checking frames 1/9",
    ]


def test_what_has_no_end_is_always_told() -> None:
    assert told((1, "warning: a", 0, 0), (1, "warning: b", 0, 0)) == ["warning: a", "warning: b"]


def test_work_that_goes_on_half_way_is_judged_by_what_it_did() -> None:
    calls = (0.0, "epoch 6/10", 50, 100), (10.0, "epoch 8/10", 75, 100)
    assert told(*calls)[1] == "epoch 8/10 75/100, about 10 s left"
