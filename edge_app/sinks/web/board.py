"""What the kiosk last said: written by the sinks' thread, read by the server's.

No lock is needed: each of the two attributes is replaced whole, never changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_app.domain import Frame, Observation, Signal, Vitals

NEWS_S = 3.0
"""Observations come several times a second, also with nobody in view. After so many seconds
without one (on top of ``policy.stale_s``) nothing that was said before is true any more."""

VITALS_S = 5.0
"""Vitals come once a second; older ones are not shown."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An observation, its frame, when it came, and since when its signal is shown."""

    observation: Observation
    frame: Frame | None
    time: float
    since: float


@dataclass(frozen=True, slots=True)
class Now:
    """What is known at a moment.

    Attributes:
        signal: What the light shows; ``FAULT`` also when the kiosk has fallen silent.
        reason: Why, in one line.
        since_s: For how many seconds.
        seen: The observation that says so; None when it is too old to be believed.
        vitals: How the kiosk is doing; None when it has not said so lately.
    """

    signal: Signal
    reason: str
    since_s: float
    seen: Seen | None
    vitals: Vitals | None


class Board:
    """Keeps the newest observation and vitals.

    Args:
        stale_s: ``policy.stale_s``.
        clock: Seconds, never going back.
    """

    def __init__(self, stale_s: float, clock: Callable[[], float]) -> None:
        self._patience = stale_s + NEWS_S
        self._clock = clock
        self._begin = clock()
        self._seen: Seen | None = None
        self._vitals: tuple[Vitals, float] | None = None

    def put(self, observation: Observation, frame: Frame | None) -> None:
        """Keep an observation and its frame; nothing is copied."""
        now, before = self._clock(), self._seen
        same = before is not None and before.observation.signal is observation.signal
        since = before.since if before is not None and same else now
        self._seen = Seen(observation, frame, now, since)

    def put_vitals(self, vitals: Vitals) -> None:
        """Keep how the kiosk is doing."""
        self._vitals = vitals, self._clock()

    def uptime(self) -> float:
        """Seconds since the kiosk started."""
        return self._clock() - self._begin

    def now(self) -> Now:
        """What is known now."""
        now, seen, vitals = self._clock(), self._seen, self._vitals
        fresh = vitals[0] if vitals is not None and now - vitals[1] <= VITALS_S else None
        if seen is None:
            return Now(Signal.FAULT, "starting", now - self._begin, None, fresh)
        observation, age = seen.observation, now - seen.time
        # A fault is told once and then lasts; everything else has to be said again and again.
        if observation.signal is not Signal.FAULT and age > self._patience:
            reason = f"the kiosk has not answered for {age:.0f} seconds"
            return Now(Signal.FAULT, reason, age - self._patience, None, fresh)
        return Now(observation.signal, observation.reason, now - seen.since, seen, fresh)
