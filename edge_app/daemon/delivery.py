"""Brings observations to the sinks, in a thread that nothing else waits for.

A disk or a network that is slow, or gone for a while, holds up neither the pipeline nor the
light: what waits is kept in order, and a sink in trouble leaves the others alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from edge_app.daemon.meter import Meter
from edge_app.domain import Frame, Observation, Vitals
from edge_app.errors import Temporary
from edge_app.sinks import Sink

REPORT_S = 1.0
"""Seconds between two reports of the kiosk's own state."""

BACKLOG = 8
"""With so many observations waiting, one that shows the same signal as the last replaces it."""

Item = tuple[Observation, Frame | None]


class Outbox:
    """What waits for delivery; bounded, because signals change seldom."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: deque[Item] = deque()
        self._closed = False

    def put(self, observation: Observation, frame: Frame | None) -> None:
        """Add an observation; no change of the signal is ever dropped."""
        with self._changed:
            if len(self._items) >= BACKLOG and self._repeats(observation):
                self._items.pop()
            self._items.append((observation, frame))
            self._changed.notify()

    def take(self, timeout: float) -> Item | None:
        """The oldest item; None if there is none within ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, max(0.0, timeout))
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Nothing more will come; what waits may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def finished(self) -> bool:
        """Whether the outbox is closed and empty."""
        with self._changed:
            return self._closed and not self._items

    def _repeats(self, observation: Observation) -> bool:
        """Whether the last two items show the signal that this one shows."""
        return all(self._items[-i][0].signal is observation.signal for i in (1, 2))


class Delivery:
    """Works through an outbox.

    Args:
        sinks: Used and closed by the thread that calls :meth:`run`.
        outbox: What they get.
        meter: Knows the vitals, and keeps the sinks' troubles.
        dropped: How many frames were replaced by newer ones so far.
        log: Gets a line when a sink cannot be closed.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        outbox: Outbox,
        meter: Meter,
        dropped: Callable[[], int],
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sinks = sinks
        self._outbox = outbox
        self._meter = meter
        self._dropped = dropped
        self._log = log
        self._clock = clock

    def run(self) -> None:
        """Deliver until the outbox is closed and empty, then close the sinks."""
        try:
            due = self._clock()
            while not self._outbox.finished:
                item = self._outbox.take(due - self._clock())
                if item is not None:
                    self._hand_over(*item)
                if (now := self._clock()) >= due:
                    due = now + REPORT_S
                    self._report(self._meter.vitals(now, self._dropped()))
        finally:
            for sink in self._sinks:
                try:
                    sink.close()
                except Temporary as error:
                    self._log.warning("%s: %s", sink.name, error)

    def _hand_over(self, observation: Observation, frame: Frame | None) -> None:
        for sink in self._sinks:
            try:
                sink.handle(observation, frame)
            except Temporary as error:
                self._meter.trouble(sink.name, str(error))

    def _report(self, vitals: Vitals) -> None:
        for sink in self._sinks:
            try:
                sink.report(vitals)
            except Temporary as error:
                self._meter.trouble(sink.name, str(error))
            else:
                self._meter.well(sink.name)
