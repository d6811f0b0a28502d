"""How the rig judges lamps: what it takes for a signal, and what it must not."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edge_app.domain import Signal
from edge_app.rhythm import RHYTHMS


@pytest.fixture
def lamps(root: Path) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("rig_lamps", root / "deploy" / "rig" / "lamps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def played(lamps: ModuleType, signal: Signal, begin: float, speed: float = 1.0) -> list[Any]:
    """Two cycles of a signal."""
    changes, time = [], begin
    for state, seconds in RHYTHMS[signal].steps * 2:
        lines = tuple(int(on) for on in (state.red, state.amber, state.green, state.buzzer))
        if not changes or changes[-1].lines != lines:
            changes.append(lamps.Change(time, lines))
        time += seconds / speed
    return changes


def others(signal: Signal) -> Sequence[Signal]:
    return [other for other in Signal if other is not signal]


@pytest.mark.parametrize("signal", list(Signal))
def test_a_signal_is_known_by_its_rhythm_and_no_other(lamps: ModuleType, signal: Signal) -> None:
    changes = played(lamps, signal, 5.0)
    assert lamps.shown_since(signal, changes, 4.0) == 5.0
    assert [s for s in others(signal) if lamps.shown_since(s, changes, 4.0) is not None] == []


def test_what_was_shown_before_the_event_does_not_count(lamps: ModuleType) -> None:
    assert lamps.shown_since(Signal.FAULT, played(lamps, Signal.FAULT, 5.0), 7.0) is None


def test_the_right_lamps_in_the_wrong_rhythm_are_another_thing(lamps: ModuleType) -> None:
    slow = played(lamps, Signal.INCORRECT, 5.0, speed=0.5)
    assert lamps.shown_since(Signal.INCORRECT, slow, 4.0) is None


def test_a_steady_light_must_still_be_on(lamps: ModuleType) -> None:
    changes = [*played(lamps, Signal.COMPLIANT, 5.0), lamps.Change(6.0, (0, 0, 0, 0))]
    assert lamps.shown_since(Signal.COMPLIANT, changes, 4.0) is None


def test_dark_means_all_of_them_and_for_good(lamps: ModuleType) -> None:
    on, off = lamps.Change(5.0, (0, 0, 1, 0)), lamps.Change(6.0, (0, 0, 0, 0))
    assert lamps.dark_since([on, off], 4.0) == 6.0
    assert lamps.dark_since([on, off], 7.0) == 7.0
    assert lamps.dark_since([off, on], 4.0) is None
    assert lamps.dark_since([], 4.0) is None
