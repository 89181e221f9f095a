from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from store.root import Store
from tests.data.predictions.line import CONTRACT, LINE, DarkEngine, deliver
from vision_assets import config
from vision_assets.dataset import snapshot
from vision_assets.evaluation import pictures, worst
from vision_assets.evaluation.judge import Judged, judge
from vision_assets.evaluation.predict import ROLES, outputs
from vision_assets.progress import silent


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> worst.Source:
    store = Store(str(tmp_path_factory.mktemp("store")))
    name = deliver(store, frames=120).name
    rows = snapshot.frames(store, LINE, name)
    wanted = rows.filter(pl.col("role").is_in(ROLES))
    found = outputs(store, wanted, CONTRACT, DarkEngine(), 1, silent)
    return worst.Source(store, LINE, name, rows, found, CONTRACT)


@pytest.fixture(scope="module")
def shown(source: worst.Source) -> Judged:
    settings = config.load(source.store, LINE)
    return judge(source.rows, source.outputs, CONTRACT.classes, settings)


def test_sheets_show_pictures(source: worst.Source, shown: Judged) -> None:
    drawn = worst.draw(source, shown.predictions)
    assert set(drawn) == {"worst_escapes.png", "worst_overkills.png"}
    for png in drawn.values():
        assert len(png) <= pictures.MOST_BYTES
        image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.int64)
        # the yellow outline of where the network saw most
        yellow = (image[..., 0] > 200) & (image[..., 1] > 200) & (image[..., 2] < 90)
        assert yellow.sum() > 50


def test_the_label_of_a_defect_is_outlined(source: worst.Source, shown: Judged) -> None:
    drawn = worst.draw(source, shown.predictions)

    def cyan(png: bytes) -> int:
        image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.int64)
        return int(((image[..., 0] < 90) & (image[..., 1] > 200) & (image[..., 2] > 200)).sum())

    assert cyan(drawn["worst_escapes.png"]) > 50
    assert cyan(drawn["worst_overkills.png"]) == 0


def test_the_worst_are_those_nearest_to_the_other_verdict(shown: Judged) -> None:
    test = shown.predictions.filter(pl.col("role") == "test")
    bad, good = worst.worst(test)
    assert len(bad) <= worst.MOST
    assert len(good) <= worst.MOST
    parts = test.group_by("part").agg(
        pl.col("p").max(), (pl.col("label") == "defect").any().alias("defective")
    )
    lowest = parts.filter("defective")["p"].sort().head(worst.MOST)
    highest = parts.filter(~pl.col("defective"))["p"].sort(descending=True).head(worst.MOST)
    assert bad["p"].to_list() == lowest.to_list()
    assert good["p"].to_list() == highest.to_list()


def test_without_such_a_part_the_sheet_says_so(source: worst.Source, shown: Judged) -> None:
    good = shown.predictions.filter(pl.col("label") == "good")
    drawn = worst.draw(source, good)
    assert all(len(png) <= pictures.MOST_BYTES for png in drawn.values())


def test_a_crop_is_shown_as_the_network_sees_it(source: worst.Source, shown: Judged) -> None:
    spec = CONTRACT.input.model_copy(update={"crop": (8, 8, 24, 16)})
    cropped = worst.Source(
        source.store,
        LINE,
        source.snapshot,
        source.rows,
        source.outputs,
        CONTRACT.model_copy(update={"input": spec}),
    )
    assert worst.draw(cropped, shown.predictions) != worst.draw(source, shown.predictions)
