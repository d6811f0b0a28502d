"""From what the lamp lines did to the signal that people see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_app.domain import Signal
from edge_app.rhythm import RHYTHMS, LampState

Lines = tuple[int, ...]
"""Red, amber, green and buzzer: 1 where the line is high."""

DARK: Lines = (0, 0, 0, 0)

SLACK_S = 0.3
"""So much longer than its step may a state last: the device shares a busy machine."""


@dataclass(frozen=True, slots=True)
class Change:
    """The lamp lines from a moment on, in seconds of the device's clock."""

    time: float
    lines: Lines


def _lines(lamps: LampState) -> Lines:
    return (int(lamps.red), int(lamps.amber), int(lamps.green), int(lamps.buzzer))


def amber_and_green_swapped(changes: Sequence[Change]) -> list[Change]:
    """What was seen, for a kiosk whose settings name each of two lamps as the other."""
    return [Change(c.time, (c.lines[0], c.lines[2], c.lines[1], c.lines[3])) for c in changes]


def shown_since(signal: Signal, changes: Sequence[Change], after: float) -> float | None:
    """When the lamps began to show a signal, after a moment; None if they do not.

    The lamps show it when they went through its whole cycle, in order and in time.
    """
    for begin in range(len(changes)):
        if changes[begin].time >= after and _follows(signal, changes[begin:]):
            return changes[begin].time
    return None


def _follows(signal: Signal, changes: Sequence[Change]) -> bool:
    steps = [(_lines(lamps), seconds) for lamps, seconds in RHYTHMS[signal].steps]
    # A whole cycle, and the change that ends it.
    if len(steps) == 1:
        return len(changes) == 1 and changes[0].lines == steps[0][0]
    if len(changes) <= len(steps):
        return False
    for number, (lines, seconds) in enumerate(steps):
        lasted = changes[number + 1].time - changes[number].time
        if changes[number].lines != lines or abs(lasted - seconds) > SLACK_S:
            return False
    return True


def dark_since(changes: Sequence[Change], after: float) -> float | None:
    """When the last lamp went out for good; None while one is on."""
    if not changes or changes[-1].lines != DARK:
        return None
    return max(after, changes[-1].time)


def last_signal(changes: Sequence[Change], now: float) -> str:
    """What the lamps did of late, for a message."""
    recent = [change for change in changes if change.time > now - 3] or changes[-1:]
    return " ".join("".join(str(line) for line in change.lines) for change in recent)
