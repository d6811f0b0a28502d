"""That nobody but one can be recognised, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import Box, Image
from edge_app.sinks.pixelate import FACE_BLOCKS, SCENE_BLOCKS, show_only

SHOWN = Box(20, 20, 60, 60)
MOST_BLOCKS = 8
"""What a face may have at most from ear to ear."""


def noise(width: int = 640, height: int = 480, seed: int = 0) -> Image:
    """A picture in which no two neighbouring pixels are alike."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def part(image: Image, box: Box) -> Image:
    x0, y0, x1, y1 = (round(v) for v in box.as_tuple())
    return image[y0:y1, x0:x1]


def blocks(image: Image) -> tuple[int, int]:
    """How many blocks of one colour there are across and down."""
    across = (np.diff(image.astype(int), axis=1) != 0).any(axis=(0, 2)).sum() + 1
    down = (np.diff(image.astype(int), axis=0) != 0).any(axis=(1, 2)).sum() + 1
    return int(across), int(down)


sides = st.floats(3, 300)
faces = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.floats(-50, 620),
    st.floats(-50, 460),
    sides,
    sides,
)


@given(faces)
def test_a_hidden_face_has_few_blocks(face: Box) -> None:
    image = noise()
    got = part(show_only(image, SHOWN, [face]), face.within(640, 480))
    if got.size:
        assert max(blocks(got)) <= FACE_BLOCKS < MOST_BLOCKS


def shuffled(image: Image, x0: int, y0: int, side: int, count: int) -> Image:
    """The picture with the pixels inside each block of a square of blocks in another order."""
    mixed = image.copy()
    random = np.random.default_rng(5)
    for column in range(count):
        for row in range(count):
            x, y = x0 + column * side, y0 + row * side
            block = mixed[y : y + side, x : x + side].reshape(-1, 3)
            mixed[y : y + side, x : x + side] = random.permutation(block).reshape(side, side, 3)
    return mixed


def test_the_original_cannot_be_told_from_the_blocks() -> None:
    """Two faces that differ in every pixel, but not in their blocks' means, look the same."""
    face = Box(400, 200, 480, 280)  # with its margin 120 pixels: four blocks of 30
    one = noise()
    other = shuffled(one, 380, 180, 30, 4)
    assert (part(one, face) != part(other, face)).any(axis=2).mean() > 0.99
    hidden, same = show_only(one, SHOWN, [face]), show_only(other, SHOWN, [face])
    assert (part(hidden, face) == part(same, face)).all()


def test_who_was_not_detected_is_blocks_too() -> None:
    """The scene is of blocks of 20 pixels: a face of a third of the picture's height has eight."""
    one = noise()
    other = shuffled(one, 100, 100, 20, 10)
    missed = Box(120, 120, 280, 280)
    shown = show_only(one, SHOWN, [])
    assert max(blocks(part(shown, missed))) <= MOST_BLOCKS
    assert (shown == show_only(other, SHOWN, [])).all()
    assert SCENE_BLOCKS * 20 == 480


def test_the_one_shown_stays_as_it_is_with_a_margin() -> None:
    image = noise()
    got = show_only(image, SHOWN, [Box(300, 300, 340, 340)])
    around = Box(SHOWN.x0 - 10, SHOWN.y0 - 10, SHOWN.x1 + 10, SHOWN.y1 + 10)
    assert (part(got, around) == part(image, around)).all()


def test_where_faces_overlap_the_other_one_is_hidden() -> None:
    image = noise()
    behind = Box(50, 30, 90, 70)
    got = show_only(image, SHOWN, [behind])
    assert max(blocks(part(got, behind))) <= FACE_BLOCKS
    left = Box(20, 20, 40, 60)
    assert (part(got, left) == part(image, left)).all()


def test_a_margin_around_hidden_faces_is_hidden_too() -> None:
    image = noise()
    near = Box(75, 20, 95, 60)
    got = show_only(image, SHOWN, [near])
    assert max(blocks(part(got, Box(70, 10, 100, 70)))) <= FACE_BLOCKS


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (17, 13), (4096, 8)])
def test_odd_pictures(size: tuple[int, int]) -> None:
    image = noise(*size)
    got = show_only(image, Box(0, 0, 1, 1), [Box(0, 0, *size), Box(-9, -9, -1, -1)])
    assert got.shape == image.shape
    assert (image == noise(*size)).all(), "the original stays"
