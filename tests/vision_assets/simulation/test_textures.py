from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from vision_assets.simulation.textures import SIDE_PX, Texture, brushed, moulded, smooth, turned


@pytest.mark.parametrize("sigma", [(0, 0), (0, 9), (3, 0.7), (40, 90)])
@pytest.mark.parametrize("shape", [(1, 200), (64, 201), (300, 150)])
def test_smooth_noise_has_mean_0_and_deviation_1(
    shape: tuple[int, int], sigma: tuple[float, float]
) -> None:
    noise = smooth(default_rng(1), shape, sigma)
    assert noise.shape == shape
    assert noise.dtype == np.float32
    assert abs(float(noise.mean())) < 1e-3
    assert float(noise.std()) == pytest.approx(1, abs=1e-3)


def test_more_blur_is_smoother_across_only() -> None:
    sharp = smooth(default_rng(1), (256, 256), (1, 1))
    wide = smooth(default_rng(1), (256, 256), (1, 20))
    assert np.abs(np.diff(wide, axis=1)).mean() < 0.2 * np.abs(np.diff(sharp, axis=1)).mean()
    assert np.abs(np.diff(wide, axis=0)).mean() > 0.5 * np.abs(np.diff(sharp, axis=0)).mean()


@pytest.mark.parametrize("across", [8.0, 60.0])
def test_wrapped_noise_goes_on_at_its_other_end(across: float) -> None:
    noise = smooth(default_rng(1), (256, 2048), (1, across), wrap=True)
    seam = np.abs(noise[:, 0] - noise[:, -1]).mean()
    assert seam < 2 * np.abs(np.diff(noise, axis=1)).mean()


@pytest.mark.parametrize("texture", [turned, brushed, moulded])
def test_a_surface_has_structure_but_does_not_clip(
    texture: Callable[[Generator], Texture],
) -> None:
    plane = texture(default_rng(3))
    assert plane.shape == (SIDE_PX, SIDE_PX)
    assert 100 < plane.mean() < 130
    assert 4 < plane.std() < 16
    assert plane.min() > 0
    assert plane.max() < 255


@pytest.mark.parametrize("texture", [turned, brushed, moulded])
def test_another_state_of_the_tools_gives_another_surface(
    texture: Callable[[Generator], Texture],
) -> None:
    first, again, other = (texture(default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.3


def test_brush_marks_run_along_x() -> None:
    plane = brushed(default_rng(1)).astype(float)
    assert np.abs(np.diff(plane, axis=1)).mean() < 0.7 * np.abs(np.diff(plane, axis=0)).mean()
