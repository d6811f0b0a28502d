"""The rhythms: a signal is told by its rhythm alone, safely and without being missed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import Signal
from edge_app.rhythm import OFF, RHYTHMS, TICK_S, LampState, lamps_at

SAFE_FLASHES_PER_SECOND = 3

NAMES = ("red", "amber", "green", "buzzer")


def sampled(signal: Signal, seconds: float, step: float = 0.01) -> list[LampState]:
    return [lamps_at(signal, (i + 0.5) * step) for i in range(round(seconds / step))]


def rises(states: list[bool]) -> int:
    return sum(now and not before for before, now in itertools.pairwise(states))


def test_every_signal_has_a_rhythm() -> None:
    assert set(RHYTHMS) == set(Signal)


@pytest.mark.parametrize(
    ("signal", "since", "lamps"),
    [
        (Signal.COMPLIANT, 0.0, LampState(green=True)),
        (Signal.COMPLIANT, 1234.5, LampState(green=True)),
        (Signal.INCORRECT, 0.5, LampState(amber=True)),
        (Signal.INCORRECT, 1.5, OFF),
        (Signal.INCORRECT, 2.5, LampState(amber=True)),
        (Signal.NO_MASK, 0.1, LampState(red=True, buzzer=True)),
        (Signal.NO_MASK, 0.3, OFF),
        (Signal.NO_MASK, 0.9, LampState(red=True)),
        (Signal.FAULT, 0.1, LampState(red=True)),
        (Signal.FAULT, 0.45, OFF),
        (Signal.FAULT, 0.6, LampState(amber=True)),
        (Signal.IDLE, 0.05, LampState(green=True)),
        (Signal.IDLE, 0.15, OFF),
        (Signal.IDLE, -1.0, LampState(green=True)),
    ],
)
def test_lamps_at(signal: Signal, since: float, lamps: LampState) -> None:
    assert lamps_at(signal, since) == lamps


def test_without_colour_every_signal_looks_different() -> None:
    patterns = set()
    for signal in Signal:
        states = sampled(signal, 4.0)
        # What a person sees who tells no colours apart: how much light, and when.
        patterns.add(tuple(state.red + state.amber + state.green for state in states))
    assert len(patterns) == len(Signal)


@pytest.mark.parametrize("signal", list(Signal))
@pytest.mark.parametrize("lamp", NAMES[:3])
def test_no_lamp_flashes_dangerously_fast(signal: Signal, lamp: str) -> None:
    states = [getattr(state, lamp) for state in sampled(signal, 10.0)]
    assert rises(states) / 10 <= SAFE_FLASHES_PER_SECOND


@pytest.mark.parametrize("signal", list(Signal))
def test_no_step_can_fall_between_two_ticks(signal: Signal) -> None:
    assert min(seconds for _, seconds in RHYTHMS[signal].steps) >= 2 * TICK_S


def test_only_the_alarm_sounds() -> None:
    sounding = {signal for signal in Signal if any(s.buzzer for s in sampled(signal, 4.0))}
    assert sounding == {Signal.NO_MASK}


def test_idle_is_dark_nearly_always() -> None:
    states = sampled(Signal.IDLE, 20.0)
    assert sum(state != OFF for state in states) / len(states) <= 0.06


@given(st.sampled_from(list(Signal)), st.floats(0, 1e7))
def test_every_moment_shows_a_step_of_the_rhythm(signal: Signal, since: float) -> None:
    assert lamps_at(signal, since) in [lamps for lamps, _ in RHYTHMS[signal].steps]
