from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tests.data.predictions.generate import Recipe, rows_and_outputs
from vision_assets.config import LineConfig
from vision_assets.evaluation import pictures
from vision_assets.evaluation.evaluate import describe
from vision_assets.evaluation.figures import Confusion, Evaluation
from vision_assets.evaluation.judge import Judged, judge

NAMES = {"confusion.png", "scores.png", "reliability.png"}


def _open(png: bytes) -> Image.Image:
    assert len(png) <= pictures.MOST_BYTES
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert min(image.size) > 150
    return image


def test_every_picture_is_a_small_png(figures: Evaluation, judged: Judged) -> None:
    drawn = pictures.draw(figures, judged.predictions)
    assert set(drawn) == NAMES
    for png in drawn.values():
        assert np.asarray(_open(png).convert("L")).std() > 5  # something is drawn


@pytest.mark.parametrize("classes", [("defect",), tuple(f"class number {n}" for n in range(14))])
def test_few_and_many_classes_fit(
    figures: Evaluation, judged: Judged, classes: tuple[str, ...]
) -> None:
    names = ("good", *classes)
    counts = tuple(tuple(1000 * (row == column) for column in names) for row in names)
    many = figures.model_copy(
        update={"confusion": Confusion(rows=names, columns=names, counts=counts)}
    )
    _open(pictures.draw(many, judged.predictions)["confusion.png"])


def test_a_line_of_which_nothing_is_known_has_pictures_too() -> None:
    rows, outputs = rows_and_outputs(Recipe(parts=40))
    good = rows.filter(pl.col("label") == "good")
    found = judge(good, outputs, ("scratch", "pit"), LineConfig())
    origin = {"model": "m", "snapshot": "s", "config": "c"}
    told = describe(found, good, ("scratch", "pit"), origin)
    for png in pictures.draw(told, found.predictions).values():
        _open(png)


def test_a_picture_full_of_noise_is_made_small() -> None:
    figure = Figure(figsize=(8, 5))
    axes = figure.subplots()
    axes.imshow(np.random.default_rng(0).random((400, 640, 3)))
    assert len(pictures.to_png(figure)) <= pictures.MOST_BYTES
