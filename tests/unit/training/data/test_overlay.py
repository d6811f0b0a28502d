"""Masks drawn on bare faces: they cover what their label says, at any size and angle."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.domain import Image, MaskState
from training.data.cloth import SWATCH_HEIGHT, SWATCH_WIDTH, Kind, draw_cloth
from training.data.head import Landmarks, fit_camera, project
from training.data.overlay import cut_texture, render_mask
from training.data.wear import STATE_OF_WEAR, Wear, draw_surface

SIZE = 160
SKIN = (205, 160, 130)
FRONTAL = np.array([[60, 60], [100, 60], [80, 84], [64, 102], [96, 102]], np.float32)
BLUE = np.full((24, 36, 3), (20, 40, 250), np.uint8)
"""A cloth like nothing else in the pictures: blue over red tells where the mask is."""

NOSE, MOUTH = 2, (3, 4)
seeds = st.integers(0, 2**32 - 1)


def face(size: int = SIZE) -> Image:
    """A skin-coloured oval before a grey wall."""
    picture = np.full((size, size, 3), 110, np.uint8)
    cv2.ellipse(picture, (size // 2, size // 2), (size // 3, size // 2 - 8), 0, 0, 360, SKIN, -1)
    return picture


def turned(roll: float, scale: float, yaw: float) -> Landmarks:
    """The frontal landmarks rolled and scaled about the middle, the head turned by ``yaw``."""
    points = (FRONTAL - 80.0).astype(np.float64)
    points[:, 0] *= math.cos(yaw)
    points[NOSE, 0] += 18 * math.sin(yaw)
    turn = np.array([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
    return (points @ turn * scale + 80).astype(np.float32)


def is_blue(picture: Image, point: np.ndarray) -> bool:
    x, y = np.round(point).astype(int)
    red, _, blue = picture[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(axis=0)
    return bool(blue > red)


def mouth(landmarks: Landmarks) -> np.ndarray:
    return np.asarray(landmarks[list(MOUTH)].mean(axis=0))


@pytest.mark.parametrize("wear", Wear)
def test_only_a_correct_mask_counts_as_with_mask(wear: Wear) -> None:
    expected = MaskState.WITH_MASK if wear is Wear.CORRECT else MaskState.INCORRECT_MASK
    assert STATE_OF_WEAR[wear] is expected


@settings(max_examples=60)
@given(seeds, st.floats(-0.6, 0.6), st.floats(0.6, 1.2), st.floats(-0.5, 0.5))
def test_a_correct_mask_covers_nose_and_mouth_and_leaves_the_eyes(
    seed: int, roll: float, scale: float, yaw: float
) -> None:
    landmarks = turned(roll, scale, yaw)
    drawn = render_mask(face(), landmarks, Wear.CORRECT, np.random.default_rng(seed), BLUE)
    assert is_blue(drawn, landmarks[NOSE])
    assert is_blue(drawn, mouth(landmarks))
    assert not is_blue(drawn, landmarks[0])
    assert not is_blue(drawn, landmarks[1])


@settings(max_examples=60)
@given(seeds, st.floats(-0.6, 0.6), st.floats(0.6, 1.2), st.floats(-0.5, 0.5))
def test_nose_out_shows_the_nose_tip_and_covers_the_mouth(
    seed: int, roll: float, scale: float, yaw: float
) -> None:
    landmarks = turned(roll, scale, yaw)
    drawn = render_mask(face(), landmarks, Wear.NOSE_OUT, np.random.default_rng(seed), BLUE)
    assert not is_blue(drawn, landmarks[NOSE])
    assert is_blue(drawn, mouth(landmarks))


@settings(max_examples=60)
@given(seeds, st.sampled_from([Wear.MOUTH_OUT, Wear.CHIN, Wear.ONE_EAR]), st.floats(-0.5, 0.5))
def test_other_wrong_ways_leave_the_mouth_bare_and_still_show_a_mask(
    seed: int, wear: Wear, roll: float
) -> None:
    landmarks = turned(roll, 0.9, 0.0)
    drawn = render_mask(face(), landmarks, wear, np.random.default_rng(seed), BLUE)
    assert not is_blue(drawn, mouth(landmarks))
    signed = drawn.astype(int)
    assert np.count_nonzero(signed[..., 2] - signed[..., 0] > 30) > 60


def test_it_hangs_from_the_ear_that_can_be_seen() -> None:
    landmarks = turned(0, 1, 0.6)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        signed = render_mask(face(), landmarks, Wear.ONE_EAR, rng, BLUE).astype(int)
        columns = np.nonzero(signed[..., 2] - signed[..., 0] > 30)[1]
        assert columns.mean() < landmarks[NOSE, 0]


@pytest.mark.parametrize("wear", Wear)
@pytest.mark.parametrize("size", [SIZE, 40])
def test_a_seed_gives_one_picture_and_the_original_stays(wear: Wear, size: int) -> None:
    bare, landmarks = face(size), FRONTAL * (size / SIZE)
    before = bare.copy()
    first = render_mask(bare, landmarks, wear, np.random.default_rng(5))
    again = render_mask(bare, landmarks, wear, np.random.default_rng(5))
    other = render_mask(bare, landmarks, wear, np.random.default_rng(6))
    assert first.dtype == np.uint8
    assert first.shape == bare.shape
    np.testing.assert_array_equal(bare, before)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    assert np.any(first != bare)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_own_swatch_within_physical_bounds(kind: Kind) -> None:
    for seed in range(20):
        cloth = draw_cloth(np.random.default_rng(seed), kind)
        assert cloth.kind is kind
        assert cloth.swatch.shape == (SWATCH_HEIGHT, SWATCH_WIDTH, 3)
        assert cloth.swatch.dtype == np.float32
        assert np.isfinite(cloth.swatch).all()
        assert -0.05 < cloth.swatch.min() < cloth.swatch.max() < 2


def test_light_from_the_left_lights_the_mask_from_the_left() -> None:
    ramp = np.linspace(1.25, 0.5, SIZE)[None, :, None]
    lit = np.clip(face() * ramp, 0, 255).astype(np.uint8)
    drawn = render_mask(lit, FRONTAL, Wear.CORRECT, np.random.default_rng(1), BLUE)
    left, right = drawn[90:115, 60:72, 2].mean(), drawn[90:115, 88:100, 2].mean()
    assert left > 1.15 * right


def test_a_grey_photo_gets_a_grey_mask() -> None:
    grey = np.repeat(cv2.cvtColor(face(), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    drawn = render_mask(grey, FRONTAL, Wear.CORRECT, np.random.default_rng(1), BLUE).astype(int)
    assert (drawn.max(axis=2) - drawn.min(axis=2)).max() <= 2


def test_a_face_outside_the_picture_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    drawn = render_mask(face(), FRONTAL + 1000, Wear.CORRECT, rng)
    np.testing.assert_array_equal(drawn, face())


@pytest.mark.parametrize("shift", [(-60, 0), (60, 0), (0, 60), (0, -75)])
def test_a_face_cut_by_the_picture_s_edge_is_drawn_as_far_as_it_is_seen(
    shift: tuple[int, int],
) -> None:
    rng = np.random.default_rng(1)
    drawn = render_mask(face(), FRONTAL + np.float32(shift), Wear.CORRECT, rng, BLUE)
    assert np.any(drawn != face())


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (np.zeros((4, 2)), "5 finite landmarks"),
        (np.full((5, 2), np.nan), "5 finite landmarks"),
        (np.full((5, 2), 7.0), "span no area"),
    ],
)
def test_impossible_landmarks_are_refused(landmarks: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_mask(face(), landmarks.astype(np.float32), Wear.CHIN, np.random.default_rng(0))


def test_texture_comes_from_the_mask_and_from_nothing_else() -> None:
    masked = render_mask(face(), FRONTAL, Wear.CORRECT, np.random.default_rng(2), BLUE)
    texture = cut_texture(masked, FRONTAL)
    assert texture.shape == (SWATCH_HEIGHT, SWATCH_WIDTH, 3)
    assert (texture[..., 2].astype(int) > texture[..., 0]).mean() > 0.97


@given(
    st.lists(st.floats(-2, 2), min_size=6, max_size=6),
    st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
)
def test_the_camera_finds_the_nose_exactly_and_moves_with_the_face(
    noise: list[float], move: tuple[float, float]
) -> None:
    landmarks = FRONTAL.copy()
    landmarks[:3] += np.array(noise, np.float32).reshape(3, 2)
    camera = fit_camera(landmarks)
    tip = project(np.array([0, 0.58, 0.45]), camera)
    np.testing.assert_allclose(tip, landmarks[NOSE], atol=1e-3)
    moved = fit_camera(landmarks + np.float32(move))
    np.testing.assert_allclose(moved[:3], camera[:3], atol=1e-3)
    np.testing.assert_allclose(moved[3] - camera[3], move, atol=1e-3)


@given(seeds, st.sampled_from(Wear), st.sampled_from(Kind))
def test_a_mask_is_a_finite_surface_from_top_to_bottom(seed: int, wear: Wear, kind: Kind) -> None:
    surface = draw_surface(wear, kind, np.random.default_rng(seed))
    assert np.isfinite(surface).all()
    if wear is not Wear.ONE_EAR:
        assert (np.diff(surface[..., 1], axis=0) > 0).all()
        assert (np.diff(surface[..., 0], axis=1) > 0).all()
