from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import SIGNAL_OF_STATE, Box, MaskState, Signal, Track
from edge_app.policy import Policy, wanted
from edge_app.settings import PolicySettings

WITH, WITHOUT, INCORRECT = (
    MaskState.WITH_MASK,
    MaskState.WITHOUT_MASK,
    MaskState.INCORRECT_MASK,
)
SETTINGS = PolicySettings()
HOLD, STALE = SETTINGS.hold_s, SETTINGS.stale_s
MIN_PX = 24.0


def people(*states: MaskState | None, size: float = 50) -> list[Track]:
    return [
        Track(i + 1, Box(0, 0, size, size), state, age=1, unseen=0, verdicts=5)
        for i, state in enumerate(states)
    ]


def policy() -> Policy:
    return Policy(SETTINGS, MIN_PX)


crowds = st.lists(st.sampled_from([*MaskState, None]), max_size=4)
scenes = st.lists(st.tuples(crowds, st.floats(0.01, 3.0)), min_size=1, max_size=40)


# What people ask for


@pytest.mark.parametrize(
    ("states", "signal", "reason"),
    [
        ([], Signal.IDLE, "nobody in view"),
        ([None], Signal.IDLE, "1 person in view, none certain yet"),
        ([None, None], Signal.IDLE, "2 people in view, none certain yet"),
        ([WITH], Signal.COMPLIANT, "1 person wears the mask correctly (of 1 in view)"),
        ([WITHOUT], Signal.NO_MASK, "1 person without a mask (of 1 in view)"),
        ([WITHOUT, WITH, WITHOUT], Signal.NO_MASK, "2 people without a mask (of 3 in view)"),
        (
            [INCORRECT, WITH],
            Signal.INCORRECT,
            "1 person wears the mask incorrectly (of 2 in view)",
        ),
        ([INCORRECT, WITHOUT], Signal.NO_MASK, "1 person without a mask (of 2 in view)"),
        ([None, WITHOUT], Signal.NO_MASK, "1 person without a mask (of 2 in view)"),
        ([None, WITH], Signal.IDLE, "1 of 2 in view not yet certain"),
    ],
)
def test_signal_and_reason(states: list[MaskState | None], signal: Signal, reason: str) -> None:
    assert policy().decide(people(*states), 0) == (signal, reason)


@given(crowds, st.integers(0, 3), st.booleans())
def test_the_most_urgent_confirmed_person_decides(
    states: list[MaskState | None], undecided: int, green: bool
) -> None:
    signal, _ = wanted(states, undecided=undecided, green=green)
    asked = [SIGNAL_OF_STATE[state] for state in states if state is not None]
    if signal is Signal.IDLE:
        assert set(asked) <= {Signal.COMPLIANT}
        assert not asked or undecided
    else:
        assert signal is min(asked, key=lambda s: s.priority)
    if signal is Signal.COMPLIANT:
        assert set(asked) == {Signal.COMPLIANT}


# People without a state


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.01, 3.0)), max_size=40))
def test_uncertain_people_never_raise_an_alarm_nor_turn_it_green(
    scene: list[tuple[int, float]],
) -> None:
    it, time = policy(), 0.0
    for count, dt in scene:
        time += dt
        assert it.decide(people(*[None] * count), time)[0] is Signal.IDLE


def test_somebody_undecided_prevents_green_but_does_not_end_it() -> None:
    it = policy()
    assert it.decide(people(WITH, None), 0)[0] is Signal.IDLE
    assert it.decide(people(WITH), 1)[0] is Signal.COMPLIANT
    for i in range(20):
        assert it.decide(people(WITH, None), 2 + i)[0] is Signal.COMPLIANT
    assert it.decide(people(None), 21.1)[0] is Signal.COMPLIANT, "held"
    assert it.decide(people(None), 21 + HOLD)[0] is Signal.IDLE


def test_somebody_too_far_away_to_be_judged_has_no_say() -> None:
    far = people(None, size=MIN_PX - 1)
    assert policy().decide([*people(WITH), *far], 0)[0] is Signal.COMPLIANT
    near = people(None, size=MIN_PX)
    assert policy().decide([*people(WITH), *near], 0)[0] is Signal.IDLE


# Holding


@given(scenes)
def test_no_flicker_within_the_hold_time(scene: list[tuple[list[MaskState | None], float]]) -> None:
    it, time, changed, before = policy(), 0.0, 0.0, None
    for states, dt in scene:
        gap = dt > STALE
        time += dt
        signal, _ = it.decide(people(*states), time)
        if signal is not before:
            if before is not None and not gap and signal.priority > before.priority:
                assert time - changed >= HOLD
            before, changed = signal, time


@given(scenes)
def test_a_more_urgent_signal_is_shown_at_once(
    scene: list[tuple[list[MaskState | None], float]],
) -> None:
    it, time = policy(), 0.0
    for states, dt in scene:
        time += dt
        asked, _ = wanted(states, undecided=states.count(None), green=False)
        signal, reason = it.decide(people(*states), time)
        assert signal.priority <= asked.priority
        assert signal is not Signal.FAULT
        assert reason
        assert "\n" not in reason


@given(scenes)
def test_green_is_only_ever_shown_for_somebody_confirmed(
    scene: list[tuple[list[MaskState | None], float]],
) -> None:
    it, time, last_mask = policy(), 0.0, -10.0
    for states, dt in scene:
        time += dt
        if WITH in states:
            last_mask = time
        signal, _ = it.decide(people(*states), time)
        if signal is Signal.COMPLIANT:
            assert not {WITHOUT, INCORRECT} & set(states)
            assert time - last_mask < HOLD


def test_an_alarm_stands_for_the_hold_time() -> None:
    it = policy()
    it.decide(people(WITHOUT), 10)
    assert it.decide(people(WITH), 10 + HOLD / 2) == (
        Signal.NO_MASK,
        "1 person without a mask (of 1 in view) (held)",
    )
    assert it.decide(people(WITH), 10 + HOLD - 0.01)[1].count("(held)") == 1
    assert it.decide(people(WITH), 10 + HOLD)[0] is Signal.COMPLIANT


def test_idle_waits_for_the_hold_time_after_the_last_person() -> None:
    it = policy()
    for i in range(5):
        it.decide(people(WITH), float(i))
    assert it.decide([], 4.9)[0] is Signal.COMPLIANT
    assert it.decide([], 5.0)[0] is Signal.IDLE


def test_without_a_hold_time_the_light_follows_at_once() -> None:
    it = Policy(PolicySettings(hold_s=0))
    assert it.decide(people(WITHOUT), 0)[0] is Signal.NO_MASK
    assert it.decide([], 0)[0] is Signal.IDLE


# Staleness


@given(scenes, st.floats(0, 10))
def test_a_stale_frame_is_a_fault_and_a_fresh_one_ends_it(
    scene: list[tuple[list[MaskState | None], float]], later: float
) -> None:
    it, time = policy(), 0.0
    for states, dt in scene:
        time += dt
        decided = it.decide(people(*states), time)
        assert it.showing(time) == decided
        now = time + later
        signal, reason = it.showing(now)
        assert it.stale(now) == (now - time > STALE)
        if it.stale(now):
            assert signal is Signal.FAULT
            assert reason.startswith("no fresh picture for ")
        else:
            assert (signal, reason) == decided


def test_before_the_first_frame_the_light_shows_a_fault() -> None:
    assert policy().showing(0) == (Signal.FAULT, "no picture yet")
    assert policy().stale(0)


@pytest.mark.parametrize("first", list(MaskState))
def test_nothing_is_held_over_a_gap(first: MaskState) -> None:
    it = policy()
    for time in (0.0, 0.1):
        it.decide(people(first), time)
    assert it.decide([], 0.2 + STALE)[0] is Signal.IDLE
    it = policy()
    it.decide(people(WITH), 0)
    assert it.decide(people(WITH, None), 0.1 + STALE)[0] is Signal.IDLE, "green no more"


def test_time_must_not_go_back() -> None:
    it = policy()
    it.decide([], 5)
    with pytest.raises(ValueError, match="backwards"):
        it.decide([], 4)


def test_priority_of_all_pairs() -> None:
    for a, b in itertools.combinations(MaskState, 2):
        signal, _ = wanted([a, b], undecided=0, green=False)
        assert signal is min(SIGNAL_OF_STATE[a], SIGNAL_OF_STATE[b], key=lambda s: s.priority)
