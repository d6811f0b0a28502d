"""Cameras that OpenCV reads: USB (V4L2) and network (RTSP, HTTP)."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import cv2

from edge_app.domain import Frame
from edge_app.errors import CameraLostError, CameraMissingError, CameraStalledError
from edge_app.settings import SourceSettings
from edge_app.settings_rules import without_password
from edge_app.sources.base import FrameSource, bgr_to_rgb, flipped

NETWORK_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https")

OPEN_TIMEOUT_S = 10.0
"""A network camera may take some seconds until it sends its first key frame."""

STALL_SHARE = 0.8
"""A failed read that took this share of the timeout was a stall; a quicker one, a loss."""

V4L_TIMEOUT = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
"""OpenCV's V4L2 backend knows no read timeout but this variable: whole seconds, read at
the first wait for a frame, 10 by default."""


class OpenCVCamera(FrameSource):
    """What the two kinds have in common; frame times are :func:`time.monotonic`."""

    live = True
    frame_count: int | None = None

    def __init__(self, name: str, capture: cv2.VideoCapture, settings: SourceSettings) -> None:
        """Take over an open capture and wait for its first frame.

        Raises:
            CameraLostError: The capture is not open, or gives no frame.
            CameraStalledError: No frame came within the timeout.
        """
        self.name = name
        self._capture = capture
        self._settings = settings
        self._index = 0
        if not capture.isOpened():
            raise CameraLostError(
                f"source {name}: cannot be opened; is it plugged in, switched on, and not "
                "in use by another program?"
            )
        stated = capture.get(cv2.CAP_PROP_FPS)
        self.fps = stated if 1 <= stated <= 240 else settings.fps
        try:
            self._first: Frame | None = self._capture_frame()
        except (CameraLostError, CameraStalledError):
            self.close()
            raise
        self.size = (self._first.image.shape[1], self._first.image.shape[0])

    def read(self) -> Frame | None:
        frame, self._first = self._first, None
        return frame if frame is not None else self._capture_frame()

    def close(self) -> None:
        self._capture.release()

    def _capture_frame(self) -> Frame:
        begin = time.monotonic()
        ok, image = self._capture.read()
        now = time.monotonic()
        if not ok:
            if now - begin >= STALL_SHARE * self._settings.timeout_s:
                raise CameraStalledError(
                    f"source {self.name}: no frame for {now - begin:.1f} s "
                    f"(source.timeout_s = {self._settings.timeout_s:g})"
                )
            raise CameraLostError(f"source {self.name}: the camera went away")
        picture = flipped(bgr_to_rgb(image), self._settings.flip)  # type: ignore[arg-type]
        frame = Frame(picture, now, self._index)
        self._index += 1
        return frame


class DeviceCamera(OpenCVCamera):
    """A camera of the Linux kernel: ``/dev/video0``."""

    def __init__(self, device: str, settings: SourceSettings) -> None:
        """Open a device and ask for the size and rate of the settings.

        Raises:
            CameraMissingError: There is no such device; it may be unplugged.
            CameraLostError: It cannot be opened, or gives no frame.
            CameraStalledError: No frame came within the timeout.
        """
        if not Path(device).exists():
            present = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "none"
            raise CameraMissingError(
                f"source {device}: there is no such camera; present: {present}"
            )
        os.environ[V4L_TIMEOUT] = str(math.ceil(settings.timeout_s))
        capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if capture.isOpened():
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
            capture.set(cv2.CAP_PROP_FPS, settings.fps)
        super().__init__(device, capture, settings)


class NetworkCamera(OpenCVCamera):
    """A camera that sends a stream: ``rtsp://...`` or ``http://...``."""

    def __init__(self, uri: str, settings: SourceSettings) -> None:
        """Connect; size and rate are what the camera sends.

        Raises:
            CameraLostError: It cannot be reached, or sends no pictures.
            CameraStalledError: No frame came within the timeout.
        """
        capture = cv2.VideoCapture(
            uri,
            cv2.CAP_FFMPEG,
            [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                round(OPEN_TIMEOUT_S * 1000),
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                round(settings.timeout_s * 1000),
            ],
        )
        super().__init__(without_password(uri), capture, settings)
