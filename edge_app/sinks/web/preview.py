"""The live picture for aiming the camera: made when somebody asks, shared by all who ask.

It exists in memory only, and only the newest one.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from edge_app.domain import Box, Face, Image
from edge_app.sinks.web.board import Seen
from edge_app.vision.annotate import annotate_faces

MAX_WIDTH = 640
"""Pixels across at most: enough to aim a camera, and cheap to encode."""

MIN_INTERVAL_S = 0.25
"""Pictures are encoded at most four times a second."""

JPEG_QUALITY = 70
"""About 25 kB for a picture of 640 x 480 pixels."""


class Preview:
    """Encodes annotated pictures, no more of them than needed."""

    def __init__(self) -> None:
        self._seen: Seen | None = None
        self._time = 0.0
        self._jpeg = b""

    def jpeg(self, seen: Seen, now: float) -> bytes | None:
        """The picture of what was seen, or the last one when that is young enough.

        Args:
            seen: The newest observation and its frame.
            now: Seconds on a clock that never goes back.

        Returns:
            A JPEG file; None when there is no frame.
        """
        if seen.frame is None:
            self.forget()
            return None
        fresh = self._seen is not None and now - self._time < MIN_INTERVAL_S
        if self._seen is not seen and not fresh:
            self._jpeg = _encode(seen.frame.image, seen.observation.faces)
            self._seen, self._time = seen, now
        return self._jpeg

    def forget(self) -> None:
        """Keep no picture."""
        self._seen, self._jpeg = None, b""


def _encode(image: Image, faces: tuple[Face, ...]) -> bytes:
    height, width = image.shape[:2]
    scale = min(1.0, MAX_WIDTH / width)
    if scale < 1:
        size = (round(width * scale), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        faces = tuple(
            replace(face, box=Box(*(value * scale for value in face.box.as_tuple())))
            for face in faces
        )
    drawn = annotate_faces(image, faces)
    bgr = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()
