"""What the kiosk knows of itself: rate, latency and troubles, asked for by all threads."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable

import numpy as np

from edge_app import pi_health
from edge_app.domain import ModelVersion, Vitals

RATE_WINDOW_S = 5.0
"""Frames of so many seconds make the rate: long enough to be steady at one a second."""

LATENCIES = 1000
"""Frames whose latency is kept: a p99 of which ten values lie above."""

HEALTH_S = 10.0
"""Seconds between two looks at temperature and throttling; each may start a process."""

CAMERA, PROCESSOR = "camera", "processor"
"""Names of parts that may be in trouble, beside those of the sinks."""

Health = tuple[float | None, tuple[str, ...] | None]
"""Degrees Celsius, and what slows the processor down; None where it cannot be read."""


def read_health() -> Health:
    """Temperature and throttling of this machine."""
    flags = pi_health.throttling()
    return pi_health.temperature(), None if flags is None else tuple(flags)


class Meter:
    """Safe to use from any thread.

    Args:
        log: Gets a line when a part gets into trouble, and one when that ends.
        health: Reads temperature and throttling.

    Attributes:
        models: Those in use; none before they are loaded.
    """

    def __init__(self, log: logging.Logger, health: Callable[[], Health] = read_health) -> None:
        self.models: tuple[ModelVersion, ...] = ()
        self._log = log
        self._read_health = health
        self._lock = threading.Lock()
        self._frames = 0
        self._times: deque[float] = deque()
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._troubles: dict[str, str] = {}
        self._faults: Counter[str] = Counter()
        self._health: Health = (None, None)
        self._health_at: float | None = None

    def processed(self, now: float) -> None:
        """Count a frame that went through the pipeline."""
        with self._lock:
            self._frames += 1
            self._times.append(now)
            self._forget(now)

    def lit(self, latency_s: float) -> None:
        """Note how long after its capture a frame reached the light."""
        with self._lock:
            self._latencies.append(latency_s * 1000)

    def trouble(self, part: str, what: str, *, said: bool = False) -> None:
        """A part is in trouble; counted once until it ends, and logged once, unless ``said``."""
        with self._lock:
            is_new = part not in self._troubles
            self._troubles[part] = what
            self._faults[part] += is_new
        if is_new and not said:
            self._log.warning("%s: %s", part, what)

    def well(self, part: str) -> None:
        """A part works, again perhaps."""
        with self._lock:
            was = self._troubles.pop(part, None)
        if was is not None:
            self._log.warning("%s: works again", part)

    def trouble_of(self, part: str) -> str | None:
        """What is wrong with a part now."""
        with self._lock:
            return self._troubles.get(part)

    def rate(self, now: float) -> float:
        """Frames per second lately."""
        with self._lock:
            self._forget(now)
            return len(self._times) / RATE_WINDOW_S

    def vitals(self, now: float, dropped: int) -> Vitals:
        """Everything at once; reads temperature and throttling where that is due.

        Args:
            now: Seconds, never going back.
            dropped: Frames that a newer one replaced.
        """
        if self._health_at is None or now - self._health_at >= HEALTH_S:
            self._health_at = now
            self._health = self._read_health()
            if slowed := pi_health.present(self._health[1] or ()):
                self.trouble(PROCESSOR, f"{', '.join(slowed)}; check power supply and cooling")
            else:
                self.well(PROCESSOR)
        rate = self.rate(now)
        with self._lock:
            spread = {}
            if self._latencies:
                p50, p99, top = np.percentile(self._latencies, [50, 99, 100]).tolist()
                spread = {"p50": p50, "p99": p99, "max": top}
            return Vitals(
                now,
                rate,
                self._frames,
                dropped,
                spread,
                *self._health,
                dict(self._faults),
                dict(self._troubles),
                self.models,
            )

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] <= now - RATE_WINDOW_S:
            self._times.popleft()
