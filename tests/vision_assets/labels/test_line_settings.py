from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from vision_assets.config import IngestSettings, LineConfig
from vision_assets.labels.line_settings import DEFAULT_CAMERA, Found, made, merged


def found(
    classes: Sequence[str] = (),
    cameras: Sequence[str] = (DEFAULT_CAMERA,),
    products: Sequence[str] = (),
    channels: Mapping[int, int] | None = None,
) -> Found:
    return Found(classes, cameras, products, channels or {1: 5})


@pytest.mark.parametrize(
    ("channels", "expected"), [({1: 5}, 1), ({3: 5}, 3), ({1: 4, 3: 1}, None), ({1: 0, 3: 2}, 3)]
)
def test_channels_are_fixed_when_all_frames_agree(
    channels: Mapping[int, int], expected: int | None
) -> None:
    settings, _ = made(found(channels=channels))
    assert settings.ingest.channels == expected


def test_mixed_channels_are_said() -> None:
    _, said = made(found(channels={1: 4, 3: 1}))
    assert said[1].startswith("4 frames are grey and 1 colour")


def test_cameras_are_listed_when_the_data_set_names_them() -> None:
    assert made(found())[0].cameras == ()
    assert made(found(cameras=("left", "right")))[0].cameras == ("left", "right")


def test_made_settings_are_said() -> None:
    settings, said = made(found(("pit",), products=("lid",)))
    assert (settings.classes, settings.products) == (("pit",), ("lid",))
    assert said == ["settings made: classes pit; channels 1"]
    assert made(found())[1] == ["settings made: classes none, only good and defect; channels 1"]


def test_new_names_are_added_behind_the_present_ones() -> None:
    present = LineConfig(classes=("scratch",), cameras=("left",), products=("lid",))
    settings, said = merged(present, found(("pit", "scratch"), ("left", "right"), ("cup",)))
    assert settings.classes == ("scratch", "pit")
    assert settings.cameras == ("left", "right")
    assert settings.products == ("lid", "cup")
    assert said == [
        "classes added to the settings: pit",
        "cameras added to the settings: right",
        "products added to the settings: cup",
    ]


def test_a_line_that_takes_any_camera_goes_on_to() -> None:
    present = LineConfig(classes=("pit",))
    assert merged(present, found(("pit",), ("left",), ("cup",))) == (present, [])


def test_frames_of_other_channels_than_the_settings_are_said() -> None:
    present = LineConfig(ingest=IngestSettings(channels=1))
    _, said = merged(present, found(channels={1: 5, 3: 2}))
    assert len(said) == 1
    assert said[0].startswith("2 frames do not have the 1 channel(s)")
