from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_app.errors import CameraStalledError
from edge_app.picture_watch import PictureWatch, blindness
from edge_app.settings import SourceSettings

SIZE = (120, 160, 3)


def noise(seed: int, low: int, high: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(low, high, SIZE, np.uint8)


ROOM = noise(0, 40, 200)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros(SIZE, np.uint8), "black"),
        (noise(1, 0, 20), "black"),
        (np.full(SIZE, 255, np.uint8), "one colour"),
        (noise(2, 126, 130), "one colour"),
    ],
)
def test_what_shows_nothing_is_blind(image: NDArray[np.uint8], words: str) -> None:
    reason = blindness(image)
    assert reason is not None
    assert words in reason


def test_a_dim_room_with_a_face_is_not_blind() -> None:
    image = noise(3, 0, 16)
    image[30:60, 50:80] = 60
    assert blindness(image) is None


def test_no_real_picture_is_taken_for_a_blind_one(root: Path) -> None:
    capture = cv2.VideoCapture(str(root / "edge_app" / "assets" / "demo.mp4"))
    seen = 0
    while (read := capture.read())[0]:
        assert blindness(read[1]) is None  # type: ignore[arg-type]
        seen += 1
    capture.release()
    assert seen > 50


def watch(**changes: float) -> PictureWatch:
    return PictureWatch(SourceSettings(uri="x", **changes))


def test_darkness_counts_when_it_lasts_and_ends_at_once() -> None:
    it = watch(blind_s=3.0)
    assert it.look(ROOM, 0.0) is None
    assert it.look(noise(1, 0, 9), 0.5) is None
    assert it.look(noise(2, 0, 9), 2.9) is None
    assert it.look(noise(3, 0, 9), 3.0) == (
        "source x: the picture is black; is the lens covered, or the light off?"
    )
    assert it.look(ROOM, 3.1) is None
    assert it.look(noise(4, 0, 9), 4.0) is None


def test_a_camera_that_is_dark_from_the_beginning_has_as_long() -> None:
    it = watch(blind_s=3.0)
    assert it.look(noise(0, 0, 9), 10.0) is None
    assert it.look(noise(1, 0, 9), 13.0) is not None


@pytest.mark.parametrize("change", [lambda i: i, lambda i: i.copy()])
def test_the_same_picture_is_a_stall_when_it_lasts(
    change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> None:
    it = watch(frozen_s=5.0)
    for now in (0.0, 2.0, 4.9):
        it.look(change(ROOM), now)
    with pytest.raises(CameraStalledError, match="the very same picture for 5 s"):
        it.look(change(ROOM), 5.0)


def test_one_pixel_that_changes_is_a_live_picture() -> None:
    it = watch(frozen_s=5.0)
    for second in range(20):
        image = ROOM.copy()
        image[7, 7, 1] = second  # not among the sampled pixels
        it.look(image, float(second))


def test_both_can_be_switched_off() -> None:
    it = watch(frozen_s=0, blind_s=0)
    for second in range(100):
        assert it.look(np.zeros(SIZE, np.uint8), float(second)) is None
