"""Raspberry Pi cameras through picamera2: the only file that imports it.

Two streams of the same moment: ``main`` is the picture that faces are judged in, and
``lores`` the same in fewer pixels, scaled by the camera's hardware, in which they are
found. Checked against the sources of picamera2 0.3.38.
"""

from __future__ import annotations

import time
from typing import Any

import cv2

from edge_app.domain import Frame, Image
from edge_app.errors import CameraLostError, CameraStalledError, SourceMissingDriverError
from edge_app.settings import SourceSettings
from edge_app.sources.base import FrameSource, bgr_to_rgb, flipped

LORES_WIDTH = 320
"""Pixels across of the small stream: a little more than the detector's input has."""

FRAME_TIME = "FrameDurationLimits"
"""libcamera's name for the shortest and the longest time between two frames, in microseconds."""


class PiCamera(FrameSource):
    """A camera on the Pi's ribbon connector; frame times are the sensor's, monotonic."""

    live = True
    frame_count: int | None = None

    def __init__(self, number: int, settings: SourceSettings) -> None:
        """Open a camera and start both streams.

        Args:
            number: Which camera, as ``rpicam-hello --list-cameras`` counts.
            settings: Size, rate, timeout and flip.

        Raises:
            SourceMissingDriverError: picamera2 is not installed.
            CameraLostError: There is no such camera, or another program uses it.
            CameraStalledError: No frame came within the timeout.
        """
        self.name = f"picamera:{number}" if number else "picamera"
        try:
            from picamera2 import Picamera2
        except (ImportError, ValueError) as error:  # ValueError: numpy of another ABI
            raise SourceMissingDriverError(
                f"source {self.name}: picamera2 cannot be imported ({_one_line(error)}); "
                "on a Raspberry Pi run: sudo apt install python3-picamera2; elsewhere name "
                "another source"
            ) from None
        self._settings = settings
        self._index = 0
        self._started = False
        self._camera: Any = None
        self.size = (_even(settings.width), _even(settings.height))
        self.fps = settings.fps
        self._lores_size = _lores_size(*self.size)
        try:
            self._camera = Picamera2(number)
            self._start()
            self._first: Frame | None = self._capture_frame()
        except (RuntimeError, IndexError) as error:
            self.close()
            raise CameraLostError(
                f"source {self.name}: {_one_line(error)}; check the ribbon cable and that no "
                "other program uses the camera"
            ) from None
        except (CameraStalledError, CameraLostError):
            self.close()
            raise

    def read(self) -> Frame | None:
        frame, self._first = self._first, None
        return frame if frame is not None else self._capture_frame()

    def close(self) -> None:
        """Stop the camera and give it back.

        A capture that timed out is still queued inside picamera2, and a stop would queue
        up behind it for ever: it is cancelled first.
        """
        camera, self._camera = self._camera, None
        if camera is None:
            return
        camera.cancel_all_and_flush()
        camera.close()

    def _start(self) -> None:
        streams: dict[str, Any] = {"main": {"format": "RGB888", "size": self.size}}
        if self._lores_size is not None:
            # The Pi 4 offers the second stream in YUV only.
            streams["lores"] = {"format": "YUV420", "size": self._lores_size}
        controls = {}
        # Sensors on the ribbon connector have it; other cameras that libcamera finds may not, and
        # picamera2 then refuses all of the configuration.
        if FRAME_TIME in self._camera.camera_controls:
            frame_us = round(1_000_000 / self.fps)
            controls[FRAME_TIME] = (frame_us, frame_us)
        configuration = self._camera.create_video_configuration(**streams, controls=controls)
        self._camera.configure(configuration)
        self._camera.start()

    def _capture_frame(self) -> Frame:
        if self._camera is None:
            raise CameraLostError(f"source {self.name}: is closed")
        names = ["main"] if self._lores_size is None else ["main", "lores"]
        timeout = self._settings.timeout_s
        try:
            arrays, metadata = self._camera.capture_arrays(names, wait=timeout)
        except TimeoutError:
            raise CameraStalledError(
                f"source {self.name}: no frame for {timeout:g} s (source.timeout_s)"
            ) from None
        except RuntimeError as error:
            raise CameraLostError(f"source {self.name}: {_one_line(error)}") from None
        flip = self._settings.flip
        # picamera2's "RGB888" names the bytes from the last to the first: numpy sees BGR.
        image = flipped(bgr_to_rgb(arrays[0]), flip)
        small = None
        if self._lores_size is not None:
            small = flipped(yuv420_to_rgb(arrays[1], self._lores_size), flip)
        taken = metadata.get("SensorTimestamp")  # nanoseconds since the system started
        seconds = taken / 1e9 if taken is not None else time.monotonic()
        frame = Frame(image, seconds, self._index, small=small)
        self._index += 1
        return frame


def yuv420_to_rgb(planes: Image, size: tuple[int, int]) -> Image:
    """picamera2's YUV420 array (1.5 x height rows, padded on the right) to RGB.

    Args:
        planes: uint8, (height * 3 // 2, stride) with stride >= width.
        size: Width and height in pixels.

    Returns:
        RGB uint8, height x width x 3.
    """
    width, height = size
    rgb: Image = cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)  # type: ignore[assignment]
    return rgb[:height, :width]


def _lores_size(width: int, height: int) -> tuple[int, int] | None:
    """The small stream's size; None when the main picture is small already."""
    if width <= LORES_WIDTH:
        return None
    return LORES_WIDTH, _even(round(height * LORES_WIDTH / width))


def _even(value: int) -> int:
    return value - value % 2


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
