"""The effects of a cheap camera: shapes, bounds, and nothing without a generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_app.domain import Image
from training.data import camera
from training.data.camera import CameraRanges, degrade

RANGES = CameraRanges()
EFFECTS: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "light": lambda image, rng: camera.light(image, rng, RANGES),
    "blur": lambda image, rng: camera.blur(image, rng, RANGES.blur),
    "noise": lambda image, rng: camera.noise(image, rng, RANGES.noise),
    "lower_resolution": lambda image, rng: camera.lower_resolution(image, rng, RANGES.min_side),
    "jpeg": lambda image, rng: camera.jpeg(image, rng, RANGES.jpeg_quality),
    "occlude": camera.occlude,
    "degrade": lambda image, rng: degrade(image, rng, RANGES),
}


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("size", [(120, 90), (33, 64), (16, 16)])
def test_an_effect_keeps_the_shape_and_leaves_its_input_alone(effect, size, photo) -> None:
    image = photo(1, *size)
    before = image.copy()
    image.flags.writeable = False  # as a stored picture is
    for seed in range(20):
        result = EFFECTS[effect](image, np.random.default_rng(seed))
        assert result.shape == image.shape
        assert result.dtype == np.uint8
        assert result.flags.writeable or result is image
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_generator_alone_decides(effect, photo) -> None:
    image = photo(2)
    results = [EFFECTS[effect](image, np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(results[0], results[1])
    assert any(not np.array_equal(results[0], other) for other in results[2:])


def test_without_any_strength_light_changes_next_to_nothing(photo) -> None:
    still = CameraRanges(gamma=1.0, colour_cast=0.0, contrast=0.0, grey=0.0)
    image = photo(3)
    result = camera.light(image, np.random.default_rng(0), still)
    assert np.abs(result.astype(int) - image).max() <= 1  # the table rounds down


def test_night_mode_has_no_colour(photo) -> None:
    grey = dataclasses.replace(RANGES, grey=1.0)
    result = camera.light(photo(4), np.random.default_rng(0), grey)
    np.testing.assert_array_equal(result[..., 0], result[..., 1])
    np.testing.assert_array_equal(result[..., 0], result[..., 2])


def test_a_colour_cast_shifts_whole_channels() -> None:
    flat = np.full((8, 8, 3), 100, np.uint8)
    ranges = CameraRanges(gamma=1.0, contrast=0.0, colour_cast=0.2, grey=0.0)
    means = [camera.light(flat, np.random.default_rng(s), ranges)[0, 0] for s in range(50)]
    assert np.min(means) >= 79
    assert np.max(means) <= 120
    assert np.std(np.array(means, float), axis=0).min() > 5


def test_noise_has_at_most_the_given_strength() -> None:
    flat = np.full((100, 100, 3), 128, np.uint8)
    spreads = [camera.noise(flat, np.random.default_rng(s), 6.0).std() for s in range(30)]
    assert 0.5 < min(spreads) < max(spreads) < 6.5


def test_blur_smooths_and_keeps_the_brightness() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 200
    for seed in range(30):
        result = camera.blur(image, np.random.default_rng(seed), 3.0).astype(float)
        assert abs(result[16:-16].mean() - 100) < 4
        assert np.abs(np.diff(result, axis=1)).max() <= 200


def test_low_resolution_loses_detail_but_not_below_its_limit(photo) -> None:
    image = photo(5, 64, 64)
    fine = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    lost = [camera.lower_resolution(fine, np.random.default_rng(s), 16).std() for s in range(20)]
    assert min(lost) < fine.std() / 2
    small = cv2.resize(image, (16, 16))
    np.testing.assert_array_equal(
        camera.lower_resolution(small, np.random.default_rng(0), 16), small
    )


def test_an_occlusion_covers_at_most_a_sixth() -> None:
    image = np.full((90, 120, 3), 7, np.uint8)
    covered = []
    for seed in range(60):
        result = camera.occlude(image, np.random.default_rng(seed))
        rows, columns = np.nonzero((result != 7).any(axis=2))
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        covered.append(area / (90 * 120))
    assert max(covered) <= 1 / 6
    assert min(covered) >= 0.01
