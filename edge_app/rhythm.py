"""What the light does for each signal: colour and rhythm as data.

Nobody has to tell red from green: every signal has its own rhythm. No lamp flashes more
than three times a second, the limit below which flicker is safe for people with
photosensitive epilepsy (WCAG 2.2, success criterion 2.3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_app.domain import Signal

TICK_S = 0.05
"""Seconds between two updates of the lamps. No step below is shorter than two of them."""


@dataclass(frozen=True, slots=True)
class LampState:
    """Which outputs are on."""

    red: bool = False
    amber: bool = False
    green: bool = False
    buzzer: bool = False


OFF = LampState()
RED, AMBER, GREEN = LampState(red=True), LampState(amber=True), LampState(green=True)
RED_AND_BUZZER = LampState(red=True, buzzer=True)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A cycle of lamp states that repeats.

    Attributes:
        steps: Lamp state and how many seconds it lasts, in order.
        words: The rhythm for people, e.g. in a terminal.
    """

    steps: tuple[tuple[LampState, float], ...]
    words: str

    @property
    def period(self) -> float:
        """Seconds until it repeats."""
        return sum(seconds for _, seconds in self.steps)

    def at(self, since_seconds: float) -> LampState:
        """The lamps so many seconds after the beginning; before it counts as 0."""
        left = max(0.0, since_seconds) % self.period
        for lamps, seconds in self.steps:
            if left < seconds:
                return lamps
            left -= seconds
        return self.steps[-1][0]  # rounding left a sliver behind the last step


RHYTHMS: Mapping[Signal, Rhythm] = {
    # The dark gaps keep it from being a steady light to eyes that see red and amber alike.
    Signal.FAULT: Rhythm(
        ((RED, 0.4), (OFF, 0.1), (AMBER, 0.4), (OFF, 0.1)), "red and amber alternating"
    ),
    Signal.NO_MASK: Rhythm(
        # Two chirps, then two silent blinks: urgent, but bearable at a doctor's door.
        ((RED_AND_BUZZER, 0.2), (OFF, 0.2)) * 2 + ((RED, 0.2), (OFF, 0.2)) * 2,
        "red, fast blink, with buzzer",
    ),
    Signal.INCORRECT: Rhythm(((AMBER, 1.0), (OFF, 1.0)), "amber, slow blink"),
    Signal.COMPLIANT: Rhythm(((GREEN, 1.0),), "green, steady"),
    # So brief that nobody takes it for the steady green: it only says "I am alive".
    Signal.IDLE: Rhythm(((GREEN, 0.1), (OFF, 1.9)), "dim green heartbeat"),
}


SELF_TEST: Rhythm = Rhythm(
    ((RED, 0.4), (AMBER, 0.4), (GREEN, 0.4), (LampState(buzzer=True), 0.1)),
    "red, amber, green, buzzer, each once",
)
"""At the start, so that whoever switches the kiosk on sees a lamp that is broken."""


def lamps_at(signal: Signal, since_seconds: float) -> LampState:
    """The lamps at a moment of a signal's rhythm.

    Args:
        signal: What the light shows.
        since_seconds: Time since it began to show it; before the beginning counts as 0.
    """
    return RHYTHMS[signal].at(since_seconds)
