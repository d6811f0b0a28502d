"""A camera that never ends, for benchmarks: scenes made of the bundled demo clip."""

from __future__ import annotations

import time
from collections.abc import Sequence

import cv2
import numpy as np

from edge_app.demo import CLIP
from edge_app.domain import Frame, Image
from edge_app.errors import CameraLostError
from edge_app.sources import FrameSource
from edge_app.sources.video import VideoSource

WIDTH, HEIGHT = 640, 480

FEW_BY, FEW_HIGH = 5, 4
"""Twenty people: so many in a row, and so many rows."""

STEP = 3
"""Every third frame of the clip is enough variety."""

HOLD = 30
"""Frames for which one picture stays: people do not change their masks within milliseconds."""


def clip_frames() -> list[Image]:
    """Frames of the demo clip, one person bare, masked wrongly, masked, at 640x480."""
    with VideoSource(CLIP) as clip:
        frames = [frame.image for frame in clip]
    return [cv2.resize(image, (WIDTH, HEIGHT)) for image in frames[::STEP]]  # type: ignore[misc]


def crowd(frames: Sequence[Image]) -> list[Image]:
    """The same with twenty people in view."""
    small = [cv2.resize(image, (WIDTH // FEW_BY, HEIGHT // FEW_HIGH)) for image in frames]
    tiled = []
    for i in range(len(small)):
        rows = [
            np.hstack([small[(i + FEW_BY * row + column) % len(small)] for column in range(FEW_BY)])
            for row in range(FEW_HIGH)
        ]
        tiled.append(np.vstack(rows).astype(np.uint8))
    return tiled


def empty_room() -> list[Image]:
    """A wall in changing light, with the noise of a cheap sensor."""
    generator = np.random.default_rng(0)
    wall = np.linspace(60, 160, WIDTH)[None, :, None] * np.ones((HEIGHT, 1, 3))
    return [
        (wall + 8 * np.sin(i / 3) + generator.normal(0, 3, wall.shape))
        .clip(0, 255)
        .astype(np.uint8)
        for i in range(20)
    ]


class EndlessCamera(FrameSource):
    """Shows scenes in turn, at a steady rate, and goes away for a moment now and then.

    Args:
        scenes: Name of a scene, its pictures, and how many frames it lasts, in order.
        fps: Frames per second.
        lost_every: After so many frames the camera is lost; 0: never.
        first: Frames that an earlier camera of the same run has shown.
    """

    live = True
    name = "endless"
    frame_count: int | None = None
    size = (WIDTH, HEIGHT)

    def __init__(
        self,
        scenes: Sequence[tuple[str, Sequence[Image], int]],
        fps: float,
        lost_every: int = 0,
        first: int = 0,
    ) -> None:
        self.fps = fps
        self.index = first
        self._scenes = scenes
        self._lost_every = lost_every
        self._due = time.monotonic()

    def read(self) -> Frame | None:
        self.index += 1
        if self._lost_every and self.index % self._lost_every == 0:
            raise CameraLostError("source endless: unplugged on purpose")
        self._due = max(self._due + 1 / self.fps, time.monotonic() - 1)
        time.sleep(max(0.0, self._due - time.monotonic()))
        image = self._picture().copy()
        image[0, 0] = self.index % 251  # never the very same picture twice
        return Frame(image, time.monotonic(), self.index)

    def _picture(self) -> Image:
        left = self.index % sum(frames for _, _, frames in self._scenes)
        for _, pictures, frames in self._scenes:
            if left < frames:
                return pictures[left // HOLD % len(pictures)]
            left -= frames
        raise AssertionError("the remainder lies in one of the scenes")

    def close(self) -> None:
        """Nothing to give back."""
