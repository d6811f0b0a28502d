"""What is true now, from what was said when."""

from __future__ import annotations

import pytest

from edge_app.domain import Signal, Vitals
from edge_app.sinks.web.board import NEWS_S, VITALS_S, Board

STALE_S = 2.0
SIGNALS = [signal for signal in Signal if signal is not Signal.FAULT]


@pytest.fixture
def board(clock) -> Board:
    return Board(STALE_S, clock)


def test_before_the_first_word_the_kiosk_is_out_of_order(board: Board) -> None:
    now = board.now()
    assert (now.signal, now.reason, now.seen) == (Signal.FAULT, "starting", None)


def test_what_was_said_last_is_shown_since_it_was_said_first(board: Board, clock, says) -> None:
    for second in range(4):
        clock.now = 1000.0 + second
        board.put(says.observed(Signal.COMPLIANT, f"word {second}"), None)
    now = board.now()
    assert (now.signal, now.reason, now.since_s) == (Signal.COMPLIANT, "word 3", 3.0)
    board.put(says.observed(Signal.NO_MASK), None)
    assert board.now().since_s == 0.0


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_kiosk_that_falls_silent_is_out_of_order(board: Board, clock, says, signal) -> None:
    board.put(says.observed(signal), says.frame())
    clock.now += STALE_S + NEWS_S
    assert board.now().signal is signal
    clock.now += 0.1
    now = board.now()
    assert now.signal is Signal.FAULT
    assert now.reason == "the kiosk has not answered for 5 seconds"
    assert now.seen is None, "no old picture either"
    assert now.since_s == pytest.approx(0.1)


def test_a_fault_is_said_once_and_lasts(board: Board, clock, says) -> None:
    board.put(says.observed(Signal.FAULT, "camera lost"), None)
    clock.now += 3600
    now = board.now()
    assert (now.signal, now.reason, now.since_s) == (Signal.FAULT, "camera lost", 3600.0)


def test_old_vitals_are_not_shown(board: Board, clock) -> None:
    assert board.now().vitals is None
    vitals = Vitals(0.0, fps=15.0)
    board.put_vitals(vitals)
    clock.now += VITALS_S
    assert board.now().vitals is vitals
    clock.now += 0.1
    assert board.now().vitals is None


def test_nothing_is_copied(board: Board, says) -> None:
    observation, frame = says.observed(), says.frame()
    board.put(observation, frame)
    seen = board.now().seen
    assert seen is not None
    assert seen.observation is observation
    assert seen.frame is frame
