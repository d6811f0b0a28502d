"""What a simulated kiosk looks at, and the two models that see it.

The camera draws people as marked pixels, and the models read the marks: everything between a real
camera and real models works as ever, in a thousandth of the processor time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np

from edge_app.domain import Box, Face, Frame, Image, MaskState, Verdict
from edge_app.errors import CameraLostError
from edge_app.pi_health import THROTTLED_BITS
from edge_app.settings import Settings, replace_settings
from edge_app.sources import FrameSource

WIDTH, HEIGHT = 96, 64
MARK = 255
"""In the first pixel's red: somebody is in view; its green says how."""

STATES = (MaskState.WITH_MASK, MaskState.WITHOUT_MASK, MaskState.INCORRECT_MASK)
WEIGHTS = (0.8, 0.15, 0.05)
VISIT_S = (1.5, 3.0)
"""Seconds that somebody, or nobody, is in view."""

THROTTLED_NOW, UNDERVOLTED_BEFORE = THROTTLED_BITS[2], THROTTLED_BITS[16]


class Door(FrameSource):
    """A camera above a door, through which people come at random.

    Args:
        generator: Whatever is random.
        fps: Pictures a second.
        works: Asked before each picture; when it says no the camera is gone.
    """

    live = True
    name = "door"
    frame_count = None
    size = (WIDTH, HEIGHT)

    def __init__(
        self, generator: random.Random, fps: float, works: Callable[[], bool] = lambda: True
    ) -> None:
        self.fps = fps
        self._generator = generator
        self._works = works
        self._noise = np.random.default_rng(generator.randrange(2**32))
        self._index = 0
        self._state: MaskState | None = None
        self._until = 0.0
        self._due = time.monotonic()

    def read(self) -> Frame:
        self._due = max(self._due + 1 / self.fps, time.monotonic() - 1)
        time.sleep(max(0.0, self._due - time.monotonic()))
        if not self._works():
            raise CameraLostError("source door: the camera is gone; check its cable")
        now = time.monotonic()
        if now >= self._until:
            self._until = now + self._generator.uniform(*VISIT_S)
            somebody = self._state is None
            self._state = self._generator.choices(STATES, WEIGHTS)[0] if somebody else None
        image: Image = self._noise.integers(60, 200, (HEIGHT, WIDTH, 3), np.uint8)
        image[0, 0] = (0, 0, 0) if self._state is None else (MARK, STATES.index(self._state), 0)
        self._index += 1
        return Frame(image, now, self._index - 1)

    def close(self) -> None:
        """Nothing to give back."""


class Finder:
    """A detector that reads the mark.

    Args:
        delay_s: Seconds that it takes for a picture.
    """

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def detect(self, image: Image) -> list[Face]:
        time.sleep(self._delay_s)
        return [Face(Box(20, 10, 60, 50), 0.9)] if image[0, 0, 0] == MARK else []


class Judge:
    """A classifier that reads the mark."""

    def classify(self, image: Image, box: Box) -> Verdict:
        state = STATES[int(image[0, 0, 1])]
        return Verdict({s: 0.95 if s is state else 0.025 for s in STATES}, state)


def settings_of(kiosk: str, address: str, port: int, token: str, broker: int) -> Settings:
    """Those of a kiosk that tells everybody: page, figures and broker."""
    return replace_settings(
        Settings(),
        {
            "indicator.pins": "none",
            "source.uri": "door.sim",
            # Fifty of them share this machine.
            "source.fps": 6.0,
            "source.idle_fps": 4.0,
            "mqtt.host": "127.0.0.1",
            "mqtt.port": broker,
            "mqtt.kiosk_id": kiosk,
            "web.enabled": True,
            "web.metrics": True,
            "web.preview": False,
            "web.host": address,
            "web.port": port,
            "web.token_file": token,
            # The slow kiosk is to be slow, not blind.
            "policy.stale_s": 5.0,
        },
    )
