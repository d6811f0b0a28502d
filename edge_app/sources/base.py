"""What every source of frames can do."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

import cv2

from edge_app.domain import Frame, Image
from edge_app.errors import SourceUnreadableError

FLIP_CODES = {"horizontal": 1, "vertical": 0, "both": -1}
"""The setting ``source.flip`` in the numbers of ``cv2.flip``."""

LONGEST_RATIO = 16
"""One side of a picture may be so many times the other. Panoramas have 4; a damaged file may
say 65000 x 200, and the square around a face in such a picture takes gigabytes."""


class FrameSource(Protocol):
    """An open source of frames, read by one thread.

    Attributes:
        live: A camera: frames arrive in real time, and a gap means a fault.
        name: For people and reports; holds no password.
        fps: Frames per second, as far as known; an image folder counts as 1.
        frame_count: How many frames to expect; an estimate, for progress bars. None for
            cameras and for files that do not say.
        size: Width and height of the first frame in pixels; images of a folder may differ.
    """

    live: bool
    name: str
    fps: float
    frame_count: int | None
    size: tuple[int, int]

    def read(self) -> Frame | None:
        """The next frame, or None at the end of a replay.

        Raises:
            SourceUnreadableError: A file is damaged or cut off.
            CameraStalledError: No frame came within ``source.timeout_s``.
            CameraLostError: The camera went away.
        """
        ...

    def close(self) -> None:
        """Give the device or file back; a second call does nothing."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def require_sane_shape(image: Image, name: str) -> None:
    """Refuse the picture of a damaged file that is all width or all height.

    Raises:
        SourceUnreadableError: It is.
    """
    height, width = image.shape[:2]
    if max(width, height) > LONGEST_RATIO * min(width, height):
        raise SourceUnreadableError(
            f"source {name}: a picture of {width}x{height} pixels: the file is damaged; "
            "copy or record it again"
        )


def flipped(image: Image, flip: str) -> Image:
    """A picture mirrored as ``source.flip`` says."""
    if flip == "none":
        return image
    return cv2.flip(image, FLIP_CODES[flip])  # type: ignore[return-value]


def bgr_to_rgb(image: Image) -> Image:
    """OpenCV's channel order to ours."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]
