from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from store import events as stored
from store import landing
from store.errors import InvalidInput
from store.keys import BatchKey, LineKey
from store.root import Store
from tests.data.labels.generate import HEIGHT, WIDTH, DataSet, half_mask
from vision_assets import config
from vision_assets.config import LineConfig
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.labels import events, masks
from vision_assets.labels.importing import ImportReport, Request, import_dataset
from vision_assets.labels.record import LabelReport, record_batch

LINE = LineKey("turin", "press-3")


@pytest.fixture
def tiles(data_set: DataSet) -> DataSet:
    """Two good frames, two pits with masks, one scratch whose mask is empty."""
    data_set.draw("MT_Free/Imgs/exp1.jpg", "MT_Free/Imgs/exp2.jpg", "MT_Pit/Imgs/exp10.jpg")
    data_set.draw("MT_Pit/Imgs/exp9.jpg", "MT_Scratch/Imgs/exp1.jpg")
    data_set.mark("MT_Pit/Imgs/exp10.png", "MT_Pit/Imgs/exp9.png")
    data_set.mark("MT_Free/Imgs/exp1.png", "MT_Scratch/Imgs/exp1.png", high=0)
    data_set.write("readme.md", "about")
    return data_set


def bring(store: Store, data_set: DataSet, layout: str = "masks", **more: object) -> ImportReport:
    values: dict[str, object] = {"path": data_set.root, "layout": layout, "batch": "b1", **more}
    return import_dataset(store, LINE, Request(**values))  # type: ignore[arg-type]


def rows(store: Store, key: BatchKey, name: str = "metadata.jsonl") -> dict[str, dict[str, object]]:
    lines = store.read(f"landing/{key}/{name}").splitlines()
    return {row["file"]: row for row in map(json.loads, lines)}


def ingest_and_record(store: Store, key: BatchKey) -> LabelReport:
    settings = config.load(store, LINE)
    assert ingest_batch(store, key, settings).metadata_faults == []
    return record_batch(store, key, settings)


def test_a_data_set_becomes_a_delivery(store: Store, tiles: DataSet) -> None:
    report = bring(store, tiles)
    (key,) = report.batches
    assert key == BatchKey("turin", "press-3", "b1")
    assert (report.frames, report.good, report.defect, report.unlabelled) == (5, 2, 3, 0)
    assert (report.classes, report.masks) == ({"MT_Pit": 2, "MT_Scratch": 1}, 2)
    assert report.notes == (
        "turin/press-3: settings made: classes MT_Pit, MT_Scratch; channels 1",
        "frames labelled defect whose mask marks nothing: 1",
        "files that were ignored (1 .md): 1",
    )
    delivery = landing.delivery(store, key)
    assert delivery
    assert delivery.frames == 5


def test_bytes_are_copied_unchanged(store: Store, tiles: DataSet) -> None:
    (key,) = bring(store, tiles).batches
    for file in rows(store, key):
        copied = store.read(f"landing/{key}/frames/{file}")
        assert copied == (tiles.root / file).read_bytes()


def test_frames_without_a_time_get_one_in_natural_order(store: Store, tiles: DataSet) -> None:
    (key,) = bring(store, tiles).batches
    times = {file: row["captured_at"] for file, row in rows(store, key).items()}
    assert times["MT_Free/Imgs/exp1.jpg"] == "2000-01-01T00:00:00+00:00"
    assert times["MT_Pit/Imgs/exp9.jpg"] == "2000-01-01T00:00:02+00:00"
    assert times["MT_Pit/Imgs/exp10.jpg"] == "2000-01-01T00:00:03+00:00"


def test_labels_arrive_as_events_with_masks(store: Store, tiles: DataSet) -> None:
    (key,) = bring(store, tiles).batches
    report = ingest_and_record(store, key)
    assert (report.good, report.defect, report.faults) == (2, 3, [])
    marked = events.read(store, key).drop_nulls("mask_png")
    assert marked.height == 2
    for row in marked.iter_rows(named=True):
        found = masks.class_mask(row["mask_png"], row["mask_classes"], ("MT_Scratch", "MT_Pit"))
        assert np.array_equal(found, half_mask(2))


def test_again_it_adds_no_event(store: Store, tiles: DataSet) -> None:
    (key,) = bring(store, tiles).batches
    first = ingest_and_record(store, key)
    assert bring(store, tiles).notes[0].startswith("frames labelled"), "settings stay as they are"
    second = ingest_and_record(store, key)
    assert (second.added, second.hash) == (0, first.hash)


def test_a_data_set_that_grew_adds_its_new_frames(store: Store, tiles: DataSet) -> None:
    (key,) = bring(store, tiles).batches
    ingest_and_record(store, key)
    tiles.draw("MT_Scratch/Imgs/exp2.jpg")
    bring(store, tiles)
    report = ingest_and_record(store, key)
    assert (report.frames, report.added, len(stored.tables_of(store, key))) == (6, 1, 2)


@pytest.mark.parametrize(
    ("batch", "batch_by", "expected"),
    [
        ("", r"MT_(\w+)", ["free", "pit", "scratch"]),
        ("jan", r"MT_(\w+)", ["jan-free", "jan-pit", "jan-scratch"]),
        ("", r"exp\d", ["exp1", "exp2", "exp9"]),
    ],
)
def test_a_pattern_names_batches(
    store: Store, tiles: DataSet, batch: str, batch_by: str, expected: list[str]
) -> None:
    report = bring(store, tiles, batch=batch, batch_by=batch_by)
    assert [key.batch for key in report.batches] == expected
    files = [file for key in report.batches for file in rows(store, key)]
    assert len(files) == len(set(files)) == 5
    assert landing.complete_batches(store, LINE) == list(report.batches)


def test_times_of_one_import_do_not_begin_again_in_each_batch(store: Store, tiles: DataSet) -> None:
    report = bring(store, tiles, batch="", batch_by=r"MT_(\w+)")
    times = [row["captured_at"] for key in report.batches for row in rows(store, key).values()]
    assert len(set(times)) == 5


@pytest.mark.parametrize(
    ("batch", "batch_by", "expected"),
    [
        ("", "", r"exp1.jpg and 4 more: in no batch; give --batch, --batch-by or a column `batch`"),
        ("", "exp2", r"exp1.jpg and 3 more: --batch-by exp2 matches nothing in the path"),
        ("B 1", "", r"exp1.jpg and 4 more: batch 'B 1' is not a valid name"),
        ("", r"/(x?)", r"exp1.jpg and 4 more: batch '' is not a valid name"),
        ("", r"(", r"--batch-by \( is no regular expression"),
    ],
)
def test_wrong_batch_names_are_refused(
    store: Store, tiles: DataSet, batch: str, batch_by: str, expected: str
) -> None:
    with pytest.raises(InvalidInput, match=expected):
        bring(store, tiles, batch=batch, batch_by=batch_by)
    assert landing.complete_batches(store) == []


def test_metadata_and_batches_of_a_table(store: Store, data_set: DataSet) -> None:
    data_set.draw("train/1.png", "2.png", "3.png")
    data_set.write(
        "frames.csv",
        "file,class,batch,camera,serial,group,product,captured_at,oven\n"
        "train/1.png,pit,Early,left,S1,G1,lid,2026-01-31T12:00:00+01:00,hot\n"
        "2.png,good,,,,,,,\n"
        "3.png,,,,,,,,\n",
    )
    report = bring(store, data_set, "csv")
    late, early = report.batches
    assert (early.batch, late.batch, report.unlabelled) == ("early", "b1", 1)
    assert rows(store, early)["train/1.png"] == {
        "file": "train/1.png",
        "camera": "left",
        "captured_at": "2026-01-31T12:00:00+01:00",
        "serial": "S1",
        "group": "G1",
        "product": "lid",
        "oven": "hot",
        "split": "train",
    }
    assert rows(store, late)["2.png"]["camera"] == "camera-1"
    assert list(rows(store, late, "labels.jsonl")) == ["2.png"]
    settings = config.load(store, LINE)
    assert (settings.cameras, settings.products) == (("camera-1", "left"), ("lid",))
    for key in report.batches:
        assert ingest_and_record(store, key).faults == []


def test_present_settings_get_new_classes(store: Store, tiles: DataSet) -> None:
    config.save(store, LINE, LineConfig(classes=("dent", "MT_Pit")))
    report = bring(store, tiles)
    assert config.load(store, LINE).classes == ("dent", "MT_Pit", "MT_Scratch")
    assert "turin/press-3: classes added to the settings: MT_Scratch" in report.notes


def test_broken_frames_are_copied_for_ingest_to_judge(store: Store, tiles: DataSet) -> None:
    tiles.write("MT_Pit/Imgs/exp9.jpg", b"no picture")
    report = bring(store, tiles)
    assert (
        "frames that cannot be read: 1 (MT_Pit/Imgs/exp9.jpg); a run puts them aside, then "
        "`vision-assets quarantine turin/press-3/b1` lists them with their reasons"
    ) in report.notes
    (key,) = report.batches
    recorded = ingest_and_record(store, key)
    assert (recorded.frames, recorded.quarantined, recorded.faults) == (4, 1, [])


def test_all_faults_are_named_and_nothing_is_delivered(store: Store, tiles: DataSet) -> None:
    tiles.draw("stray.jpg")
    tiles.mark("MT_Free/Imgs/exp2.png", "MT_Pit/Imgs/gone.png")
    tiles.write("MT_Pit/Imgs/exp9.png", b"no picture")
    with pytest.raises(InvalidInput) as error:
        bring(store, tiles)
    text = str(error.value)
    assert "as masks: 4 faults, nothing delivered:" in text
    assert "stray.jpg: lies in no class folder" in text
    assert "MT_Pit/Imgs/gone.png: is a mask without a frame" in text
    assert "MT_Free/Imgs/exp2.jpg: is labelled good, but its mask marks defects" in text
    assert "MT_Pit/Imgs/exp9.jpg: " in text
    assert not store.exists("landing")
    assert not store.exists("lines")


def test_sizes_must_agree(store: Store, data_set: DataSet) -> None:
    data_set.draw("1.jpg")
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT + 1}</height></size>"
    data_set.write("1.xml", f"<annotation><filename>1.jpg</filename>{size}</annotation>")
    with pytest.raises(InvalidInput, match="has 40 x 32 pixels, its annotation 40 x 33"):
        bring(store, data_set, "voc")


def test_a_mask_of_another_size_is_a_fault(store: Store, data_set: DataSet) -> None:
    data_set.mark("pit/1.png")
    (data_set.root / "pit/1.png").rename(data_set.root / "pit/1.bmp")
    data_set.draw("pit/2.jpg")
    data_set.write("pit/2.png", masks.encode(np.ones((4, 4), np.uint8)))
    with pytest.raises(InvalidInput, match=r"2.jpg: the frame has 40 x 32 pixels, its mask 4 x 4"):
        bring(store, data_set)


def test_a_file_described_twice_is_a_fault(store: Store, data_set: DataSet) -> None:
    data_set.draw("1.png")
    data_set.write("frames.csv", "file\n1.png\n1.png\n")
    with pytest.raises(InvalidInput, match=r"1.png: is described 2 times"):
        bring(store, data_set, "csv")


def test_a_folder_without_frames_is_refused(store: Store, data_set: DataSet) -> None:
    data_set.write("readme.md", "nothing here")
    with pytest.raises(InvalidInput, match="has no frames in layout folders"):
        bring(store, data_set, "folders")


def test_of_many_broken_frames_five_are_named(store: Store, data_set: DataSet) -> None:
    data_set.draw("good/0.png")
    for number in range(1, 8):
        data_set.write(f"good/{number}.png", b"no picture")
    notes = " ".join(bring(store, data_set, "folders").notes)
    assert "cannot be read: 7 (good/1.png, good/2.png, good/3.png, good/4.png, good/5.png, …)" in (
        notes
    )


def test_defects_without_a_good_frame_are_refused(store: Store, data_set: DataSet) -> None:
    data_set.draw("godo/1.png", "pit/1.png")
    with pytest.raises(InvalidInput, match="classes found are godo, pit; say with --good NAME"):
        bring(store, data_set, "folders")
    assert not store.exists("landing")
    assert not store.exists("lines")
    assert bring(store, data_set, "folders", good=("godo",)).good == 1
    assert bring(store, data_set, "folders", no_good=True).defect == 2


@pytest.mark.parametrize("layout", ["coco", "voc"])
def test_images_without_any_annotation_are_refused(
    store: Store, data_set: DataSet, layout: str
) -> None:
    data_set.draw("1.jpg", "2.jpg")
    data_set.write("info.json", '{"licence": "none"}')
    with pytest.raises(InvalidInput, match="nothing here describes any of its 2 images"):
        bring(store, data_set, layout)
    assert not store.exists("landing")


def test_two_frames_of_one_stem_keep_their_own_masks(store: Store, data_set: DataSet) -> None:
    data_set.draw("1.jpg", "1.bmp")
    data_set.mark("a.png")
    data_set.write("b.png", masks.encode(255 - half_mask()))
    data_set.write("frames.csv", "file,class,mask\n1.jpg,pit,a.png\n1.bmp,pit,b.png\n")
    (key,) = bring(store, data_set, "csv", no_good=True).batches
    ingest_and_record(store, key)
    marked = [masks.read(png) for png in events.read(store, key)["mask_png"]]
    assert np.array_equal(np.add(*marked), np.ones((HEIGHT, WIDTH)))


def test_progress_is_told(store: Store, tiles: DataSet) -> None:
    told: list[tuple[str, int, int]] = []
    request = Request(tiles.root, "masks", "b1")
    import_dataset(store, LINE, request, lambda *all: told.append(all))
    assert told[4] == ("reading frames and masks", 5, 5)
    assert told[-1] == ("delivering to turin/press-3/b1", 5, 5)


def test_a_path_that_is_not_there_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        import_dataset(store, LINE, Request(tmp_path / "gone", "folders", "b1"))
