"""A video file as a source, decoded by OpenCV's FFmpeg."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import cv2

from edge_app.domain import Frame, Image
from edge_app.errors import SourceUnreadableError
from edge_app.sources.base import FrameSource, bgr_to_rgb, require_sane_shape
from edge_app.sources.container import Container, inspect

log = logging.getLogger(__name__)

FALLBACK_FPS = 25.0
"""For containers that state no frame rate, or a nonsensical one."""

SANE_FPS = (0.1, 240.0)
"""Outside of it a stated frame rate is a time base (AVI says 600), not a rate."""

MAX_FRAMES = 10_000_000
"""A larger frame count is one of FFmpeg's error values, not a count."""

DURATION_TOLERANCE_S = 1.0
"""Pictures may end this much earlier than the container says: the last ones may be held."""

COUNT_TOLERANCE = 0.02
"""Share of the stated frames that may fail to decode before a file counts as damaged."""

LONGEST_GAP_S = 3600.0
"""Between two frames; more is no recording but a damaged time, for which a replay would wait."""

PROBE_BYTES = 4096
"""A video has zero bytes in its first block, a text file none; FFmpeg would play the text."""


class VideoSource(FrameSource):
    """Frames of a file with their media time in seconds, the first at 0."""

    live = False

    def __init__(self, path: Path) -> None:
        """Open a file and decode its first frame.

        Raises:
            SourceUnreadableError: The file is empty, cut off before its first frame, or
                not a video that FFmpeg can decode.
        """
        self.name = str(path)
        self._container = _inspect(path)
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self._first = self._decode() if self._capture.isOpened() else None
        if self._first is None:
            self._capture.release()
            why = "the file is cut off" if self._container.cut_off else "not a video"
            raise SourceUnreadableError(
                f"source {path}: no frame can be decoded: {why}; copy or record it again"
            )
        self.size = (self._first.shape[1], self._first.shape[0])
        stated = self._capture.get(cv2.CAP_PROP_FPS)
        sane = SANE_FPS[0] <= stated <= SANE_FPS[1]
        self.fps = stated if sane else FALLBACK_FPS
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        # An MP4 lists its frames; for the others the count is a guess from the rate.
        counted = (sane or self._container.duration is not None) and 0 < count < MAX_FRAMES
        self.frame_count: int | None = round(count) if counted else None
        self._origin = self._position()
        self._index = 0
        self._time = 0.0

    def read(self) -> Frame | None:
        image, self._first = self._first, None
        if image is None:
            image = self._decode()
            if image is None:
                if self._capture.isOpened():
                    self._check_the_end()
                return None
            before, self._time = self._time, self._next_time()
            if self._time - before > LONGEST_GAP_S:
                raise SourceUnreadableError(
                    f"source {self.name}: frame {self._index} comes {self._time - before:.0f} s "
                    "after the one before: the file is damaged; copy or record it again"
                )
        frame = Frame(image, self._time, self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        self._capture.release()
        self._first = None

    def _decode(self) -> Image | None:
        ok, image = self._capture.read()
        if not ok:
            return None
        require_sane_shape(image, self.name)  # type: ignore[arg-type]
        return bgr_to_rgb(image)  # type: ignore[arg-type]

    def _position(self) -> float:
        milliseconds = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        return milliseconds / 1000 if math.isfinite(milliseconds) else 0.0

    def _next_time(self) -> float:
        """The stated time where it moves on, else one frame interval after the last."""
        time = self._position() - self._origin
        return time if time > self._time else self._time + 1 / self.fps

    def _check_the_end(self) -> None:
        """Raise when frames stopped before the container says they should."""
        got, shown_s = self._index, self._time + 1 / self.fps
        duration = self._container.duration
        if self._container.cut_off:
            why = "the file is cut off"
        elif (
            duration is not None
            and self.frame_count is not None
            and shown_s < duration - DURATION_TOLERANCE_S
            and got < self.frame_count * (1 - COUNT_TOLERANCE)
        ):
            why = "the rest is damaged"
        else:
            return
        of = f" of {self.frame_count}" if self.frame_count and self.frame_count > got else ""
        raise SourceUnreadableError(
            f"source {self.name}: {got}{of} frames ({shown_s:.1f} s) could be decoded, "
            f"then {why}; copy or record it again"
        )


def _inspect(path: Path) -> Container:
    try:
        with path.open("rb") as file:
            head = file.read(PROBE_BYTES)
        if not head:
            raise SourceUnreadableError(f"source {path}: the file is empty (0 bytes)")
        if 0 not in head:
            raise SourceUnreadableError(f"source {path}: is a text file, not a video")
        return inspect(path)
    except OSError as error:
        raise SourceUnreadableError(f"source {path}: {error.strerror}") from None
