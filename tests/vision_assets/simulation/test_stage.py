import cv2
import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from inspection.statistics import statistics
from vision_assets.simulation import stage
from vision_assets.simulation.blanks import make_blank
from vision_assets.simulation.settings import SimulationSettings

BLANK = make_blank("turned", default_rng(1))


def photograph(**drift: object) -> NDArray[np.uint8]:
    settings = SimulationSettings.model_validate({"frames": 1, **drift})
    rng = default_rng(4)
    place = stage.make_stage(0, BLANK, settings)
    scene = stage.bare(place, BLANK, stage.expose(rng, BLANK, settings))
    return stage.take(scene, settings.focus_px, rng)


def without_noise(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.5), np.uint8)


PLAIN = photograph()


def test_a_frame_is_640_by_480_in_colour_and_well_exposed() -> None:
    assert PLAIN.shape == (480, 640, 3)
    assert 60 < PLAIN.mean() < 120
    assert np.mean(PLAIN == 255) < 0.001
    assert np.mean(PLAIN == 0) < 0.01


@pytest.mark.parametrize("lighting", [0.5, 1.25])
def test_lighting_is_a_factor_of_the_brightness(lighting: float) -> None:
    assert photograph(lighting=lighting).mean() == pytest.approx(PLAIN.mean() * lighting, rel=0.02)


def test_a_lens_out_of_focus_takes_the_sharpness() -> None:
    blurred = photograph(focus_px=3)
    assert statistics(blurred)["sharpness"] < 0.5 * statistics(PLAIN)["sharpness"]


def test_a_moved_camera_moves_part_and_fixture() -> None:
    moved = photograph(shift_px=(20, -10))
    piece = without_noise(PLAIN)[100:400, 100:500]
    _, _, _, at = cv2.minMaxLoc(cv2.matchTemplate(without_noise(moved), piece, cv2.TM_CCOEFF))
    assert at == pytest.approx((120, 90), abs=1)


def test_the_sensor_is_noisy() -> None:
    scene = stage.Scene(
        np.full((480, 640, 3), 100, np.uint8),
        np.zeros((480, 640), np.uint8),
        stage.expose(default_rng(1), BLANK, SimulationSettings(frames=1)),
    )
    first, second = (stage.take(scene, 0, default_rng(seed)) for seed in (1, 2))
    assert 1.5 < first.std() < 3.5
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_cameras_stand_in_different_places_but_always_in_the_same() -> None:
    settings = SimulationSettings(frames=1)
    first, again, other = (stage.make_stage(camera, BLANK, settings) for camera in (0, 0, 1))
    assert np.array_equal(first.shade, again.shade)
    assert np.array_equal(first.background, again.background)
    assert not np.array_equal(first.background, other.background)
    assert first.light != other.light


def test_no_two_parts_lie_alike() -> None:
    rng, settings = default_rng(1), SimulationSettings(frames=1)
    first, second = (stage.expose(rng, BLANK, settings) for _ in range(2))
    assert not np.allclose(first.pose, second.pose)
    assert not np.allclose(first.grain, second.grain)
    assert first.exposure_ms != second.exposure_ms
