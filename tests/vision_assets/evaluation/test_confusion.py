from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from inspection.decision import Label
from vision_assets.evaluation import rates
from vision_assets.evaluation.confusion import class_figures, confusion, named

CLASSES = ("scratch", "pit")
Row = tuple[str, list[str], str, list[float]]


def _frames(rows: list[Row], classes: tuple[str, ...] = CLASSES) -> pl.DataFrame:
    """Frames from (label, classes, verdict, class scores), each a part of its own."""
    frames = pl.DataFrame(
        {
            "part": [f"p{index}" for index in range(len(rows))],
            "group": [f"p{index}" for index in range(len(rows))],
            "label": [row[0] for row in rows],
            "classes": [row[1] for row in rows],
            "verdict": [row[2] for row in rows],
            "closed": [row[2] for row in rows],
            "class_scores": [row[3] for row in rows],
            "score": [sum(row[3]) for row in rows],
            "p": [0.5] * len(rows),
        },
        schema_overrides={"classes": pl.List(pl.String)},
    )
    return named(frames, classes)


EXAMPLE: list[Row] = [
    ("good", [], "PASS", [0.9, 0.1]),  # passed, whatever the class scores
    ("good", [], "REJECT", [0.2, 0.6]),
    ("defect", ["scratch"], "REJECT", [0.7, 0.1]),
    ("defect", ["scratch"], "REVIEW", [0.2, 0.3]),
    ("defect", ["pit"], "PASS", [0.2, 0.3]),
    ("defect", ["pit", "scratch"], "REJECT", [0.9, 0.3]),  # one of its two
    ("defect", [], "REJECT", [0.9, 0.3]),  # nobody said which
]


def test_worked_by_hand() -> None:
    found = confusion(_frames(EXAMPLE), CLASSES)
    assert found.columns == ("good", "scratch", "pit", "REVIEW")
    assert found.rows == ("good", "scratch", "pit", "defect")
    assert found.counts == ((1, 0, 1, 0), (0, 2, 0, 1), (1, 0, 0, 0), (0, 1, 0, 0))


def test_figures_of_a_class_worked_by_hand() -> None:
    frames = _frames(EXAMPLE)
    pit = class_figures(frames, rates.to_parts(frames), "pit", "part", 0.95)
    assert (pit.frames, pit.parts) == (2, 2)
    assert (pit.escapes.count, pit.escapes.of) == (1, 2)
    assert (pit.recall.count, pit.recall.of) == (0, 2)
    # pits at 0.5 and 1.2, good at 1.0 and 0.8: two of four pairs are in order
    assert pit.auroc == pytest.approx(0.5)


def test_a_class_that_test_lacks_has_no_figures() -> None:
    frames = _frames(EXAMPLE[:4])
    pit = class_figures(frames, rates.to_parts(frames), "pit", "part", 0.95)
    assert (pit.frames, pit.auroc, pit.escapes.rate, pit.recall.rate) == (0, None, None, None)


def test_a_line_without_classes_has_the_class_defect() -> None:
    rows: list[Row] = [("defect", [], "REJECT", [0.9]), ("good", [], "PASS", [0.1])]
    frames = _frames(rows, ("defect",))
    found = confusion(frames, ("defect",))
    assert found.rows == ("good", "defect")
    assert found.columns == ("good", "defect", "REVIEW")
    assert found.counts == ((1, 0, 0), (0, 1, 0))
    figures = class_figures(frames, rates.to_parts(frames), "defect", "part", 0.95)
    assert (figures.recall.count, figures.recall.of, figures.auroc) == (1, 1, 1.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["good", *CLASSES]),
            st.sampled_from(["PASS", "REVIEW", "REJECT"]),
            st.sampled_from([[0.9, 0.1], [0.1, 0.9]]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_with_one_class_a_frame_it_is_the_matrix_of_scikit_learn(
    rows: list[tuple[str, str, list[float]]],
) -> None:
    frames = _frames(
        [
            (
                "good" if kind == "good" else "defect",
                [] if kind == "good" else [kind],
                verdict,
                scores,
            )
            for kind, verdict, scores in rows
        ]
    )
    named_as = {Label.PASS.value: "good", Label.REVIEW.value: "REVIEW"}
    taken = [named_as.get(row[1], CLASSES[row[2].index(max(row[2]))]) for row in rows]
    labels = ["good", *CLASSES, "REVIEW"]
    oracle = confusion_matrix([row[0] for row in rows], taken, labels=labels)
    assert confusion(frames, CLASSES).counts == tuple(map(tuple, oracle[:-1].tolist()))


def test_a_class_called_review_is_not_the_review_band() -> None:
    rows: list[Row] = [("defect", ["REVIEW"], "REJECT", [0.9]), ("good", [], "REVIEW", [0.5])]
    found = confusion(_frames(rows, ("REVIEW",)), ("REVIEW",))
    assert found.counts == ((0, 0, 1), (0, 1, 0))
