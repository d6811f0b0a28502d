"""Objects before bare faces: they cover part of the lower face and spare the eyes."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.occluders import Occluder, render_occluder

LANDMARKS = np.array([[60, 60], [100, 60], [80, 84], [64, 102], [96, 102]], np.float32)
SKIN = np.full((160, 160, 3), (205, 160, 130), np.uint8)


@pytest.mark.parametrize("occluder", Occluder)
def test_the_lower_face_changes_and_the_forehead_does_not(occluder: Occluder) -> None:
    for seed in range(10):
        drawn = render_occluder(SKIN, LANDMARKS, np.random.default_rng(seed), occluder)
        change = np.abs(drawn.astype(int) - SKIN).max(axis=2)
        assert drawn.dtype == np.uint8
        assert drawn.shape == SKIN.shape
        assert (change[75:140, 50:110] > 12).mean() > 0.05
        assert (change[:25] > 12).mean() < 0.02


def test_a_seed_gives_one_picture_and_the_original_stays() -> None:
    bare = SKIN.copy()
    first = render_occluder(bare, LANDMARKS, np.random.default_rng(3))
    again = render_occluder(bare, LANDMARKS, np.random.default_rng(3))
    other = render_occluder(bare, LANDMARKS, np.random.default_rng(4))
    np.testing.assert_array_equal(bare, SKIN)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_a_hand_has_the_colour_of_the_face() -> None:
    drawn = render_occluder(SKIN, LANDMARKS, np.random.default_rng(0), Occluder.HAND)
    changed = np.abs(drawn.astype(int) - SKIN).max(axis=2) > 12
    hand = drawn[changed].mean(axis=0)
    skin = SKIN[0, 0].astype(float)
    np.testing.assert_allclose(hand / hand.sum(), skin / skin.sum(), atol=0.03)


def test_impossible_landmarks_are_refused() -> None:
    with pytest.raises(ValueError, match="span no area"):
        render_occluder(SKIN, np.zeros((5, 2), np.float32), np.random.default_rng(0))
