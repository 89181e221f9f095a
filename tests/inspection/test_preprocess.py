import cv2
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspection.contract import InputSpec
from inspection.decode import decode
from inspection.preprocess import fit, prepare, prepare_pixels
from inspection.statistics import COLUMNS, statistics
from store.errors import UnreadableFrame


def spec(**changes: object) -> InputSpec:
    return InputSpec.model_validate({"channels": 3, "height": 32, "width": 48, **changes})


def noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def encoded(frame: NDArray[np.uint8], suffix: str = ".png") -> bytes:
    ok, data = cv2.imencode(suffix, frame[..., ::-1])
    assert ok
    return data.tobytes()


@given(
    st.integers(1, 80), st.integers(1, 80), st.sampled_from([1, 3]), st.integers(1, 60), st.data()
)
def test_any_frame_fits(
    height: int, width: int, channels: int, target: int, data: st.DataObject
) -> None:
    wanted = spec(channels=channels, height=target, width=data.draw(st.integers(1, 60)))
    frame = noise(height, width, channels)
    found = fit(frame, wanted)
    assert found.shape == (wanted.height, wanted.width, channels)
    assert found.dtype == np.uint8
    assert frame.min() <= found.min()
    assert found.max() <= frame.max()


def test_a_frame_of_the_right_size_is_left_alone() -> None:
    frame = noise(32, 48)
    assert fit(frame, spec()) is frame


def test_shrinking_averages_areas() -> None:
    frame = noise(64, 96)
    means = frame.reshape(32, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(fit(frame, spec()).astype(float) - means).max() <= 0.5


@pytest.mark.parametrize("size", [(480, 640), (270, 480), (479, 641), (481, 640), (96, 640)])
def test_shrinking_keeps_the_mean_and_stays_close_to_plain_averaging(
    size: tuple[int, int],
) -> None:
    frame = cv2.GaussianBlur(noise(*size), (0, 0), 3)
    plain = cv2.resize(frame, (48, 32), interpolation=cv2.INTER_AREA)
    found = fit(np.asarray(frame, np.uint8), spec())
    difference = np.abs(found.astype(int) - plain.astype(int))
    assert difference.mean() <= 1
    assert difference.max() <= 8
    assert abs(float(found.mean()) - float(frame.mean())) <= 0.5


@given(height=st.integers(32, 200), width=st.integers(48, 200), seed=st.integers(0, 2**32 - 1))
@example(height=32, width=96, seed=0)  # only halves of whole pixels: means that end in .5
@example(height=64, width=48, seed=0)
@settings(deadline=None)
def test_averaging_by_way_of_floats_changes_no_bit(height: int, width: int, seed: int) -> None:
    assume(not (height >= 64 and width >= 96 and height % 2 == 0 and width % 2 == 0))
    frame = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    plain = cv2.resize(frame, (48, 32), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(fit(frame, spec()), plain)


@pytest.mark.parametrize("column", range(20))
def test_a_thin_scratch_keeps_its_weight_wherever_it_lies(column: int) -> None:
    """Interpolating would lose it between two of its samples."""
    frame = np.zeros((240, 180, 3), np.uint8)
    frame[:, 40 + column] = 255
    kept = float(fit(frame, spec()).sum()) / float(frame.sum()) * frame.size / (32 * 48 * 3)
    assert 0.95 <= kept <= 1.05


def test_growing_a_side_interpolates() -> None:
    frame = np.zeros((16, 96, 3), np.uint8)
    frame[8:] = 200
    expected = cv2.resize(frame, (48, 32), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(fit(frame, spec()), expected)


def test_the_crop_comes_before_the_resize() -> None:
    frame = noise(80, 90)
    found = fit(frame, spec(crop=[10, 20, 48, 32]))
    np.testing.assert_array_equal(found, frame[20:52, 10:58])


def test_a_crop_counts_pixels_of_the_whole_frame_when_decoding_is_reduced() -> None:
    whole = np.zeros((64, 96, 3), np.uint8)
    whole[32:, 48:] = 255
    wanted = spec(crop=[48, 32, 48, 32], reduced_decode=2, height=16, width=24)
    prepared = prepare(encoded(whole, ".jpg"), wanted)
    assert prepared.pixels.shape == (16, 24, 3)
    assert prepared.pixels[:, 4:].min() > 200


def test_a_crop_up_to_the_edge_of_an_odd_frame_fits_at_every_reduction() -> None:
    data = encoded(noise(33, 35), ".jpg")
    for reduced in (1, 2, 4, 8):
        wanted = spec(crop=[0, 0, 35, 33], reduced_decode=reduced)
        assert prepare(data, wanted).pixels.shape == (32, 48, 3)


@pytest.mark.parametrize("crop", [[60, 0, 48, 32], [0, 60, 48, 32]])
@pytest.mark.parametrize("reduced", [1, 2])
def test_a_crop_outside_the_frame_is_refused(crop: list[int], reduced: int) -> None:
    with pytest.raises(UnreadableFrame, match="96 x 80") as caught:
        prepare(encoded(noise(80, 96), ".jpg"), spec(crop=crop, reduced_decode=reduced))
    assert caught.value.reason == "too_small"


def test_bytes_and_their_pixels_give_the_same() -> None:
    frame = noise(60, 70)
    from_bytes, from_pixels = prepare(encoded(frame), spec()), prepare_pixels(frame, spec())
    np.testing.assert_array_equal(from_bytes.pixels, from_pixels.pixels)
    assert from_bytes.statistics == from_pixels.statistics == statistics(frame)
    assert set(from_bytes.statistics) == set(COLUMNS)


def test_statistics_are_of_the_whole_frame() -> None:
    frame = noise(80, 90)
    cropped = prepare(encoded(frame), spec(crop=[10, 20, 48, 32]))
    assert cropped.statistics == prepare(encoded(frame), spec()).statistics


def test_grey_frames_keep_their_axis() -> None:
    frame = noise(60, 70, 1)
    assert prepare(encoded(frame), spec(channels=1)).pixels.shape == (32, 48, 1)
    assert decode(encoded(frame), channels=1).shape == (60, 70, 1)


def test_limits_of_the_contract_reach_the_decoder() -> None:
    with pytest.raises(UnreadableFrame) as caught:
        prepare(encoded(noise(60, 70)), spec(max_pixels=4199))
    assert caught.value.reason == "too_large"
    with pytest.raises(UnreadableFrame) as caught:
        prepare(encoded(noise(60, 70)), spec(channels=1))
    assert caught.value.reason == "wrong_channels"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (np.zeros((8, 8, 3), np.uint16), "sixteen_bit"),
        (np.zeros((8, 8, 3), np.float32), "unsupported_mode"),
        (np.zeros((8, 8), np.uint8), "wrong_shape"),
        (np.zeros((1, 8, 8, 3), np.uint8), "wrong_shape"),
        (np.zeros((0, 8, 3), np.uint8), "wrong_shape"),
        (np.zeros((8, 8, 1), np.uint8), "wrong_channels"),
        (np.zeros((8, 8, 4), np.uint8), "wrong_channels"),
        (np.zeros((101, 10, 3), np.uint8), "too_large"),
    ],
)
def test_wrong_raw_pixels_are_refused(frame: NDArray[np.uint8], reason: str) -> None:
    with pytest.raises(UnreadableFrame, match="raw pixels") as caught:
        prepare_pixels(frame, spec(max_pixels=1000))
    assert caught.value.reason == reason


def test_a_frame_with_a_short_side_is_refused_encoded_and_raw_alike() -> None:
    frame, limit = noise(15, 70), spec(min_side_px=16)
    with pytest.raises(UnreadableFrame) as from_bytes:
        prepare(encoded(frame), limit)
    with pytest.raises(UnreadableFrame) as from_pixels:
        prepare_pixels(frame, limit)
    assert from_bytes.value.reason == from_pixels.value.reason == "too_small"
    assert str(from_bytes.value) == str(from_pixels.value)
    assert "at least 16" in str(from_bytes.value)
    prepare(encoded(noise(16, 70)), limit)
    prepare_pixels(noise(16, 70), limit)
