"""Measures of a photo's light, focus, grain and colour, against pictures of known making."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.data.photo import blur_sigma, light_field, match_saturation, noise_level

SIZE = 120
WHOLE = (0, 0, SIZE, SIZE)
POINTS = np.array([[x, y] for x in (30.0, 60.0, 90.0) for y in (30.0, 60.0, 90.0)])


def checks() -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE] // 20
    grey = np.where((rows + columns) % 2 == 0, 60, 190).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0])
def test_blur_is_measured(sigma: float) -> None:
    blurred = cv2.GaussianBlur(checks(), (0, 0), sigma)
    assert blur_sigma(blurred, WHOLE) == pytest.approx(sigma, rel=0.3)


def test_a_sharp_picture_has_almost_no_blur() -> None:
    assert blur_sigma(checks(), WHOLE) < 0.6


@pytest.mark.parametrize("sigma", [2.0, 4.0, 6.0])
def test_grain_is_measured(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(128, sigma, (SIZE, SIZE, 1))
    picture = np.repeat(np.clip(np.round(noise), 0, 255).astype(np.uint8), 3, axis=2)
    assert noise_level(picture, WHOLE) == pytest.approx(sigma, rel=0.2)


def test_tiny_regions_give_a_usable_answer() -> None:
    assert blur_sigma(checks(), (0, 0, 3, 3)) > 0
    assert noise_level(checks(), (0, 0, 3, 3)) > 0


def test_the_light_follows_the_skin() -> None:
    even = np.full((SIZE, SIZE, 3), 120, np.uint8)
    ramp = np.clip(even * np.linspace(1.4, 0.6, SIZE)[None, :, None], 0, 255).astype(np.uint8)
    flat = light_field(even, POINTS, WHOLE, 1.0)
    slanted = light_field(ramp, POINTS, WHOLE, 1.0)
    assert flat.shape == (SIZE, SIZE, 3)
    np.testing.assert_allclose(flat, flat.mean(), rtol=1e-3)
    assert (np.diff(slanted[60, :, 0]) <= 0).all()
    assert slanted[60, 10, 0] > 1.2 * slanted[60, 110, 0]


def test_exposure_scales_the_light() -> None:
    even = np.full((SIZE, SIZE, 3), 120, np.uint8)
    one, more = (light_field(even, POINTS, WHOLE, e) for e in (1.0, 1.2))
    np.testing.assert_allclose(more, 1.2 * one, rtol=1e-4)


def test_saturation_follows_the_picture() -> None:
    patch = np.full((4, 4, 3), (200.0, 100.0, 50.0), np.float32)
    grey = np.full((SIZE, SIZE, 3), 120, np.uint8)
    vivid = np.full((SIZE, SIZE, 3), (200, 120, 60), np.uint8)
    faded = match_saturation(patch, grey)
    np.testing.assert_allclose(faded.max(axis=2), faded.min(axis=2), atol=1e-3)
    np.testing.assert_array_equal(match_saturation(patch, vivid), patch)
