from __future__ import annotations

import cv2
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from inspection.contract import InputSpec
from inspection.preprocess import fit, prepare
from store.errors import Corrupt
from store.hashing import sha256
from store.root import Store
from vision_assets.training.source import FrameSource, pack_mask

SPEC = InputSpec(channels=1, height=32, width=48)


def _frames(number: int) -> list[NDArray[np.uint8]]:
    return [np.full((60, 70, 1), 40 * index, np.uint8) for index in range(number)]


@pytest.fixture
def table(empty_store: Store) -> pl.DataFrame:
    """Three frames behind one another in a file: good, outlined, defective without an outline."""
    encoded = [cv2.imencode(".png", frame)[1].tobytes() for frame in _frames(3)]
    empty_store.write("shard", b"".join(encoded))
    lengths = [len(data) for data in encoded]
    return pl.DataFrame(
        {
            "frame_id": ["a", "b", "c"],
            "label": ["good", "defect", "defect"],
            "classes": [[], ["pit"], []],
            "content_hash": [sha256(data) for data in encoded],
            "shard": "shard",
            "offset": [0, lengths[0], sum(lengths[:2])],
            "length": lengths,
        },
        schema_overrides={"classes": pl.List(pl.String)},
    )


def _packed(kind: int = 1) -> bytes:
    mask = np.zeros((60, 70), np.uint8)
    mask[10:30, 10:30] = kind
    packed = pack_mask(mask, SPEC)
    assert packed is not None
    return packed


@pytest.mark.parametrize("budget", [0, 10**6])
def test_pixels_are_those_of_the_line_kept_or_not(
    empty_store: Store, table: pl.DataFrame, budget: int
) -> None:
    source = FrameSource(empty_store, table, {}, SPEC, budget)
    for position, row in enumerate(table.rows(named=True)):
        data = empty_store.read_range(row["shard"], row["offset"], row["length"])
        for _ in range(2):
            assert np.array_equal(source.pixels(position), prepare(data, SPEC).pixels)
    assert (source.pixels(0) is source.pixels(0)) == (budget > 0)


def test_labels_and_masks(empty_store: Store, table: pl.DataFrame) -> None:
    source = FrameSource(empty_store, table, {"b": _packed(3)}, SPEC)
    assert source.is_defective == [False, True, True]
    assert source.classes == [(), ("pit",), None]
    good, outlined = source.mask(0), source.mask(1)
    assert good is not None
    assert not good.any()
    assert outlined is not None
    assert set(np.unique(outlined)) == {0, 3}
    assert source.mask(2) is None
    assert [source.has_outline(i) for i in range(3)] == [False, True, False]


def test_a_mask_follows_its_frame() -> None:
    shape = np.zeros((60, 70), np.uint8)
    cv2.circle(shape, (30, 20), 12, 255, -1)
    packed = pack_mask(shape // 255 * 2, SPEC)
    assert packed is not None
    mask = cv2.imdecode(np.frombuffer(packed, np.uint8), 0)
    assert mask is not None
    reference = fit(shape[:, :, None], SPEC)[:, :, 0]
    assert np.all(mask[reference > 128] == 2)
    assert not mask[reference == 0].any()


def test_a_line_thinner_than_a_pixel_does_not_vanish() -> None:
    mask = np.zeros((600, 700), np.uint8)
    mask[:, 350] = 1
    packed = pack_mask(mask, SPEC)
    assert packed is not None
    small = cv2.imdecode(np.frombuffer(packed, np.uint8), 0)
    assert small is not None
    assert small.any(axis=1).all()


def test_an_empty_mask_outlines_nothing() -> None:
    assert pack_mask(np.zeros((60, 70), np.uint8), SPEC) is None


def test_changed_bytes_are_not_trained_on(empty_store: Store, table: pl.DataFrame) -> None:
    data = empty_store.read("shard")
    empty_store.write("shard", data[:-1] + bytes([data[-1] ^ 1]))
    source = FrameSource(empty_store, table, {}, SPEC)
    assert source.pixels(0).shape == (32, 48, 1)
    with pytest.raises(Corrupt, match="frame c of batch"):
        source.pixels(2)
