from __future__ import annotations

import polars as pl
import pytest
import torch

from store.errors import InvalidInput
from store.root import Store
from tests.data.plates import generate
from tests.data.plates.generate import CLASSES, LINE, SETTINGS
from vision_assets.dataset import snapshot
from vision_assets.progress import silent
from vision_assets.training.feed import Feed, input_spec, open_feed
from vision_assets.training.request import Request, ask


def test_it_holds_the_snapshots_frames_by_role(feed: Feed, plates: tuple[Store, str]) -> None:
    store, name = plates
    counts = dict(snapshot.frames(store, LINE, name).group_by("role").len().rows())
    assert (len(feed.train), len(feed.tune)) == (counts["train"], counts["tune"])
    assert feed.classes == CLASSES
    assert (feed.spec.height, feed.spec.width, feed.spec.channels) == (64, 64, 1)
    assert all(
        feed.train.has_outline(i) == feed.train.is_defective[i] for i in range(len(feed.train))
    )


def test_an_epoch_is_whole_batches_and_the_same_again(feed: Feed) -> None:
    first, again = ([pixels for pixels, _ in feed.train_loader(epoch)] for epoch in (1, 1))
    assert {len(pixels) for pixels in first} == {SETTINGS.training.batch_size}
    assert len(first) == feed.length // SETTINGS.training.batch_size == 16
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = next(iter(feed.train_loader(2)))[0]
    assert not torch.equal(first[0], other)


def test_tune_frames_come_as_they_are(feed: Feed) -> None:
    pixels = torch.cat([batch for batch, _ in feed.tune_loader()]).numpy()
    assert len(pixels) == len(feed.tune)
    assert all((pixels[i] == feed.tune.pixels(i)).all() for i in range(len(pixels)))


def test_no_frame_of_another_role_is_shown(feed: Feed, plates: tuple[Store, str]) -> None:
    store, name = plates
    rows = snapshot.frames(store, LINE, name).filter(pl.col("role") == "train")
    assert feed.train.is_defective == (rows["label"] != "good").to_list()


def test_a_snapshot_without_a_role_is_refused(empty_store: Store) -> None:
    frozen = generate.frozen_line(empty_store, number=3)
    request: Request = ask(empty_store.url, str(LINE), frozen.name, SETTINGS, 1)
    with pytest.raises(InvalidInput, match="has no frame of role"):
        open_feed(empty_store, LINE, request, silent)


@pytest.mark.parametrize(
    ("sizes", "reduced"),
    [
        ([(640, 480)], 2),
        ([(640, 480), (639, 480)], 2),
        ([(1920, 1080), (640, 300)], 1),
        ([(2448, 2048)], 8),
        ([(1920, 1080)], 4),
        ([(500, 500)], 1),  # the statistics' plane would be smaller than they are taken on
    ],
)
def test_jpeg_is_decoded_at_the_smallest_size_that_serves(
    sizes: list[tuple[int, int]], reduced: int
) -> None:
    frames = pl.DataFrame(sizes, ["width", "height"], orient="row")
    training = SETTINGS.training.model_copy(update={"height_px": 224, "width_px": 224})
    settings = SETTINGS.model_copy(update={"training": training})
    assert input_spec(settings, 3, frames).reduced_decode == reduced
