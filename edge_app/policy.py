"""From the people in view to the one signal that the light shows.

Who decides:

- Confirmed people (tracks with a state) decide: the most urgent of their signals is asked
  for, so the light is green only if all of them wear the mask correctly.
- A person without a state (just arrived, or judged uncertain) asks for nothing. While such
  a person is near enough to be judged the light does not *turn* green; a light that is
  green already stays so until somebody confirmed says otherwise.
- With nobody confirmed the light is idle.

What is shown: a more urgent signal at once. A less urgent one only when the shown signal
has stood for ``hold_s``; and idle only when nobody has asked for anything for ``hold_s``.
With the newest frame older than ``stale_s`` the light shows a fault, until a fresh one.

Pure: no clock, no input or output.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_app.domain import SIGNAL_OF_STATE, MaskState, Signal, Track
from edge_app.settings import PolicySettings

STALE = "no fresh picture for"
"""Begins the reason of a fault that a camera or a model that hangs has caused."""

_WORDS = {
    Signal.NO_MASK: ("person without a mask", "people without a mask"),
    Signal.INCORRECT: ("person wears the mask incorrectly", "people wear the mask incorrectly"),
    Signal.COMPLIANT: ("person wears the mask correctly", "people wear the mask correctly"),
}


@dataclass(frozen=True, slots=True)
class _Shown:
    """The signal shown, since when, when it was last asked for, and the newest frame's time."""

    signal: Signal = Signal.FAULT
    reason: str = "no picture yet"
    since: float = -math.inf
    asked: float = -math.inf
    newest: float = -math.inf


class Policy:
    """Decides what the light shows. :meth:`showing` may be called from any thread.

    Args:
        settings: Times of hold and staleness.
        min_judged_px: Faces with a shorter side are too far away to be judged; while they
            have no state they have no say.
    """

    def __init__(self, settings: PolicySettings, min_judged_px: float = 0.0) -> None:
        self._settings = settings
        self._min_judged_px = min_judged_px
        self._shown = _Shown()

    def decide(self, tracks: Sequence[Track], time: float) -> tuple[Signal, str]:
        """Take in the tracks of a fresh frame.

        Args:
            tracks: Everybody in view.
            time: The frame's time in seconds; never less than in the call before.

        Returns:
            The signal to show, never ``FAULT``, and the reason in one line.

        Raises:
            ValueError: The time went backwards.
        """
        shown = self._shown
        if time < shown.newest:
            raise ValueError(f"time went backwards: {time} after {shown.newest}")
        asked, reason = wanted(
            [t.state for t in tracks],
            undecided=sum(
                t.state is None and t.box.short_side >= self._min_judged_px for t in tracks
            ),
            green=shown.signal is Signal.COMPLIANT and not self.stale(time),
        )
        if self.stale(time):
            self._shown = _Shown(asked, reason, time, time, time)
        elif asked is shown.signal:
            self._shown = _Shown(asked, reason, shown.since, time, time)
        elif asked.priority < shown.signal.priority or self._may_leave(shown, asked, time):
            self._shown = _Shown(asked, reason, time, time, time)
        else:
            last_asked = shown.asked if asked is Signal.IDLE else time
            held = shown.reason.removesuffix(" (held)") + " (held)"
            self._shown = _Shown(shown.signal, held, shown.since, last_asked, time)
        return self._shown.signal, self._shown.reason

    def stale(self, now: float) -> bool:
        """Whether the newest frame is older than ``stale_s``, or there was none yet.

        Args:
            now: Seconds on the same clock as the frames' times.
        """
        return now - self._shown.newest > self._settings.stale_s

    def showing(self, now: float) -> tuple[Signal, str]:
        """What the light must show now: the last decision, or ``FAULT`` when it is stale.

        Args:
            now: Seconds on the same clock as the frames' times.
        """
        shown = self._shown
        age = now - shown.newest
        if shown.signal is Signal.FAULT or age <= self._settings.stale_s:
            return shown.signal, shown.reason
        return Signal.FAULT, f"{STALE} {age:.1f} s"

    def _may_leave(self, shown: _Shown, asked: Signal, time: float) -> bool:
        begin = shown.asked if asked is Signal.IDLE else shown.since
        return time - begin >= self._settings.hold_s


def wanted(
    states: Iterable[MaskState | None], *, undecided: int, green: bool
) -> tuple[Signal, str]:
    """The signal that people ask for, without any memory.

    Args:
        states: Everybody in view; None for a person without a state.
        undecided: How many of those without a state are near enough to be judged.
        green: Whether the light is green already, so that they do not prevent it.

    Returns:
        ``NO_MASK``, ``INCORRECT``, ``COMPLIANT`` or ``IDLE``, and the reason in one line.
    """
    everybody = list(states)
    asked = [SIGNAL_OF_STATE[state] for state in everybody if state is not None]
    if not asked:
        return Signal.IDLE, _idle_reason(len(everybody))
    signal = min(asked, key=lambda s: s.priority)
    if signal is Signal.COMPLIANT and undecided and not green:
        return Signal.IDLE, f"{undecided} of {len(everybody)} in view not yet certain"
    count = asked.count(signal)
    return signal, f"{count} {_WORDS[signal][count != 1]} (of {len(everybody)} in view)"


def _idle_reason(people: int) -> str:
    if not people:
        return "nobody in view"
    return f"{people} {'person' if people == 1 else 'people'} in view, none certain yet"
