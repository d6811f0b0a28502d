"""Tells a camera that sees from one that merely delivers pictures.

A stuck driver sends the same picture again and again; a covered or blinded lens, or a room
without light, sends pictures in which nobody could be found. Neither may look like "nobody
there". Pure: no clock, no input or output.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Image
from edge_app.errors import CameraStalledError
from edge_app.settings import SourceSettings
from edge_app.settings_rules import without_password

SAMPLES = 24
"""Pixels of the shorter side that are looked at: enough to tell darkness from a room."""

DARK_LEVEL = 24
"""With 99 % of a picture below this grey level of 255, a face in it cannot be judged."""

FLAT_SPREAD = 8
"""Fewer grey levels than this between the darkest and the brightest part are no picture."""


class PictureWatch:
    """Follows the pictures of one camera.

    Args:
        settings: Its name, for messages, and how long it may be blind or stand still.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._name = without_password(settings.uri)
        self._last: Image | None = None
        self._same_since = 0.0
        self._seen_at: float | None = None

    def look(self, image: Image, now: float) -> str | None:
        """Take in the next picture.

        Args:
            image: RGB uint8, H x W x 3.
            now: Seconds, never going back.

        Returns:
            Why nothing can be seen, when that has lasted ``source.blind_s``; else None.

        Raises:
            CameraStalledError: The same picture, to the last pixel, has come for
                ``source.frozen_s``. No real sensor does that, even in the dark.
        """
        sample = _sample(image)
        self._require_news(image, sample, now)
        reason = blindness(sample)
        if reason is None or self._seen_at is None:
            self._seen_at = now
        if reason is None or now - self._seen_at < (self._settings.blind_s or math.inf):
            return None
        return f"source {self._name}: {reason}"

    def _require_news(self, image: Image, sample: NDArray[np.uint8], now: float) -> None:
        last, self._last = self._last, image
        if (
            last is None
            or not np.array_equal(_sample(last), sample)
            or not np.array_equal(last, image)
        ):
            self._same_since = now
        elif now - self._same_since >= (self._settings.frozen_s or math.inf):
            raise CameraStalledError(
                f"source {self._name}: the camera has sent the very same picture for "
                f"{now - self._same_since:.0f} s"
            )


def blindness(image: NDArray[np.uint8]) -> str | None:
    """Why nothing can be seen in a picture (RGB uint8), in words; None if something can."""
    low, high = np.percentile(image, [1, 99])
    if high < DARK_LEVEL:
        return "the picture is black; is the lens covered, or the light off?"
    if high - low < FLAT_SPREAD:
        return "the picture is all of one colour; is the lens covered, or a lamp shining into it?"
    return None


def _sample(image: Image) -> NDArray[np.uint8]:
    step = max(1, min(image.shape[:2]) // SAMPLES)
    return image[::step, ::step]
