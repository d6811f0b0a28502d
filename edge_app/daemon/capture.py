"""Feeds the slot from the source, and opens it again when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from edge_app.backoff import Backoff
from edge_app.daemon.meter import CAMERA, Meter
from edge_app.daemon.slot import LatestShot, Shot
from edge_app.domain import Frame
from edge_app.errors import CameraLostError, Temporary
from edge_app.picture_watch import PictureWatch
from edge_app.settings import SourceSettings
from edge_app.sources import FrameSource, open_source

WAIT_S = 0.1
"""How often a wait looks up to see whether the run has ended."""

SMALLEST_SIDE = 32
"""A camera's picture with a shorter side (pixels) is garbage: no face would fit into it."""

OpenSource = Callable[[str, SourceSettings], FrameSource]


class Capture:
    """What the capture thread does.

    Args:
        settings: Of the source.
        slot: Gets every frame, with the time of its arrival on ``clock``.
        meter: Hears of trouble with the camera.
        log: Gets a line for every attempt to open the source again.
        open_source: Opens ``source.uri``.
        clock: Seconds, never going back.

    Attributes:
        failures: How often the source was lost so far; a number that grows is a sign of life.
    """

    def __init__(
        self,
        settings: SourceSettings,
        slot: LatestShot,
        meter: Meter,
        log: logging.Logger,
        open_source: OpenSource = open_source,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = 0
        self._settings = settings
        self._slot = slot
        self._meter = meter
        self._log = log
        self._open_source = open_source
        self._clock = clock
        # One for all cameras of a run: a frozen one that was opened again may still be frozen.
        self._watch = PictureWatch(settings)
        self._wanted = threading.Event()
        self._stopping = threading.Event()

    def begin(self) -> None:
        """Somebody takes frames now: a file, which waits for that, may start to play."""
        self._wanted.set()

    def stop(self) -> None:
        """End :meth:`run` soon."""
        self._stopping.set()

    def run(self) -> None:
        """Feed the slot until the source ends or :meth:`stop` is called; then close the slot.

        Raises:
            Permanent: From the source.
        """
        backoff = Backoff()
        while not self._stopping.is_set():
            try:
                with self._open_source(self._settings.uri, self._settings) as source:
                    for shot in self._shots(source):
                        self._slot.put(shot)
                        self._meter.well(CAMERA)
                        backoff.worked()
                if not self._stopping.is_set():
                    self._slot.close()
                return
            except Temporary as error:
                self.failures += 1
                pause = backoff.failed()
                self._meter.trouble(CAMERA, str(error), said=True)
                self._log.warning("%s; trying again in %g s", error, pause)
            self._stopping.wait(pause)

    def _shots(self, source: FrameSource) -> Iterator[Shot]:
        if not source.live:
            for frame in self._played(source):
                yield Shot(replace(frame, time=self._clock()))
            return
        while not self._stopping.is_set():
            seen = source.read()
            if seen is None and self._stopping.is_set():
                return
            if seen is None:
                raise CameraLostError(f"source {source.name}: the camera sends no more frames")
            _require_picture(seen, source.name)
            now = self._clock()
            yield Shot(replace(seen, time=now), True, self._watch.look(seen.image, now))

    def _played(self, source: FrameSource) -> Iterator[Frame]:
        """The frames of a file when their time has come, none before somebody takes them."""
        while not self._wanted.wait(WAIT_S):
            if self._stopping.is_set():
                return
        begin: float | None = None
        while not self._stopping.is_set() and (frame := source.read()) is not None:
            if begin is None:
                begin = self._clock() - frame.time
            self._stopping.wait(max(0.0, begin + frame.time - self._clock()))
            yield frame


def _require_picture(frame: Frame, name: str) -> None:
    """Refuse what a broken driver may send.

    Raises:
        CameraLostError: The frame is no RGB picture of a useful size.
    """
    for image in (frame.image, frame.small):
        if image is None:
            continue
        is_rgb = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
        if not is_rgb or min(image.shape[:2]) < SMALLEST_SIDE:
            raise CameraLostError(
                f"source {name}: the camera sends no pictures but {image.dtype} of shape "
                f"{image.shape}; is it a camera, and its driver the right one?"
            )
