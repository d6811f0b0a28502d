from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import Box, Face, MaskState, Track, Verdict
from edge_app.settings import PolicySettings, TrackingSettings
from edge_app.tracking import WALKING_SPEED, Tracker, next_state

WITH, WITHOUT, INCORRECT = (
    MaskState.WITH_MASK,
    MaskState.WITHOUT_MASK,
    MaskState.INCORRECT_MASK,
)
TRACKING, POLICY = TrackingSettings(), PolicySettings()
DT = 0.2
"""A kiosk's 5 frames per second."""


def verdict(state: MaskState | None, probability: float = 0.9) -> Verdict:
    """A certain verdict, or for None an uncertain one that leans to a bare face."""
    best = state or WITHOUT
    if state is None:
        probability = 0.55
    rest = (1 - probability) / 2
    return Verdict({s: probability if s is best else rest for s in MaskState}, state)


def face(x: float, y: float = 0, size: float = 40, says: Verdict | None = None) -> Face:
    return Face(Box(x, y, x + size, y + size), 0.9, says)


def tracker() -> Tracker:
    return Tracker(TRACKING, POLICY)


def feed(it: Tracker, verdicts: Iterable[Verdict | None], start: float = 0.0) -> list[Track]:
    """One person who stands still; the track after each frame."""
    tracks = []
    for i, says in enumerate(verdicts):
        (track,) = it.step([face(100, says=says)], start + i * DT)
        tracks.append(track)
    return tracks


# Who is who


positions = st.lists(
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 400), st.integers(1, 150)), max_size=6),
    max_size=15,
)


@given(positions, st.floats(0, 1))
def test_every_face_has_one_track_of_its_own_and_ids_never_return(
    frames: list[list[tuple[int, int, int]]], dt: float
) -> None:
    it, gone, before = tracker(), set[int](), set[int]()
    seen: list[tuple[float, int]] = []
    for i, boxes in enumerate(frames):
        time = i * dt
        faces = [face(*box) for box in boxes]
        tracks = it.step(faces, time)
        ids = {track.id for track in tracks}
        assert len(ids) == len(tracks)
        now = Counter(track.box for track in tracks if track.unseen == 0)
        found = Counter(face.box for face in faces)
        assert found <= now
        assert dt == 0 or found == now
        seen.append((time, len(faces)))
        recent = sum(count for at, count in seen if time - at <= TRACKING.max_unseen_s)
        assert len(tracks) <= recent
        assert all(0 <= track.unseen <= TRACKING.max_unseen_s for track in tracks)
        assert all(track.age >= track.unseen for track in tracks)
        assert not ids & gone
        gone |= before - ids
        before = ids


@given(
    st.sampled_from([5, 8, 15, 30]),
    st.floats(0, 0.95),
    st.floats(0, 2 * math.pi),
    st.floats(20, 200),
)
def test_a_walking_person_keeps_the_id(
    fps: int, share: float, direction: float, size: float
) -> None:
    it = tracker()
    step = share * WALKING_SPEED * size / fps
    for i in range(20):
        x, y = 5000 + i * step * math.cos(direction), 5000 + i * step * math.sin(direction)
        (track,) = it.step([face(x, y, size)], i / fps)
        assert track.id == 1
        assert track.box == face(x, y, size).box


@given(st.floats(1.0, 1.4))
def test_an_approaching_person_keeps_the_id(growth: float) -> None:
    it, size = tracker(), 20.0
    for i in range(8):
        (track,) = it.step([face(300 - size / 2, 300 - size / 2, size)], i * DT)
        assert track.id == 1
        size *= growth


def test_two_people_who_walk_side_by_side_keep_their_ids() -> None:
    it = tracker()
    for i in range(10):
        tracks = it.step([face(i * 40), face(i * 40 + 100)], i * DT)
        assert [(t.id, t.box.x0) for t in tracks] == [(1, i * 40), (2, i * 40 + 100)]


def test_the_order_of_the_faces_does_not_matter() -> None:
    it = tracker()
    it.step([face(0), face(200)], 0)
    tracks = it.step([face(203), face(3)], DT)
    assert [(t.id, t.box.x0) for t in tracks] == [(1, 3), (2, 203)]


def test_somebody_further_off_than_a_walk_is_somebody_else() -> None:
    it = tracker()
    it.step([face(0)], 0)
    assert [t.id for t in it.step([face(100)], DT)] == [1, 2]
    assert [t.id for t in tracker_after_a_size_jump().step([face(0, size=100)], DT)] == [1, 2]


def tracker_after_a_size_jump() -> Tracker:
    it = tracker()
    it.step([face(0, size=20)], 0)
    return it


def test_a_missed_detection_does_not_end_a_track_but_a_long_absence_does() -> None:
    it = tracker()
    it.step([face(0)], 0)
    (track,) = it.step([], 0.6)
    assert (track.id, track.unseen) == (1, 0.6)
    assert it.step([face(0)], 0.7)[0].id == 1
    assert it.step([], 1.5) == ()
    assert it.step([face(0)], 1.6)[0].id == 2


def test_at_one_frame_per_second_people_can_still_be_followed() -> None:
    it = tracker()
    for i in range(5):
        (track,) = it.step([face(100 + i, says=verdict(WITH))], float(i))
        assert track.id == 1
    assert track.state is WITH
    assert it.step([], 5.0) == ()


def test_age_and_verdicts_are_counted() -> None:
    tracks = feed(tracker(), [verdict(WITH), None, verdict(None)])
    assert [t.verdicts for t in tracks] == [1, 1, 2]
    assert tracks[-1].age == pytest.approx(2 * DT)


def test_time_must_not_go_back() -> None:
    it = tracker()
    it.step([], 5)
    with pytest.raises(ValueError, match="backwards"):
        it.step([], 4)


def test_waits_tell_who_was_judged_when_and_change_nothing() -> None:
    it = tracker()
    a, b = face(0, says=verdict(WITH)), face(200)
    assert it.waits([a, b], 0) == [math.inf, math.inf]
    it.step([a, b], 0)
    assert it.waits([b, a, face(400)], DT) == [math.inf, 1, math.inf]
    assert it.waits([b, a, face(400)], DT) == [math.inf, 1, math.inf]
    it.step([face(0), face(200, says=verdict(None))], DT)
    assert it.waits([a, b], 2 * DT) == [2, 1]
    assert len(it.step([a, b], 2 * DT)) == 2


# What is believed of them


@pytest.mark.parametrize("state", list(MaskState))
def test_a_state_needs_enough_certain_verdicts(state: MaskState) -> None:
    tracks = feed(tracker(), [verdict(state)] * 4)
    assert [t.state for t in tracks] == [None, None, state, state]


@given(st.integers(1, 200))
def test_uncertain_verdicts_alone_never_make_a_state(count: int) -> None:
    assert all(t.state is None for t in feed(tracker(), [verdict(None)] * count))


@given(st.lists(st.sampled_from([*MaskState, None]), max_size=40), st.integers(0, 12))
def test_uncertain_verdicts_change_nothing(states: list[MaskState | None], extra: int) -> None:
    """Up to evidence_s: with them or without, the certain ones decide alone."""
    it, reference, shown = tracker(), tracker(), None
    for i, state in enumerate([*states, *[None] * extra]):
        (track,) = it.step([face(0, says=verdict(state))], i * 0.01)
        if state is not None:
            (only_certain,) = reference.step([face(0, says=verdict(state))], i * 0.01)
            shown = only_certain.state
        assert track.state is shown


def test_one_wrong_verdict_is_outvoted() -> None:
    says = [verdict(WITH)] * 6 + [verdict(WITHOUT, 0.99)] + [verdict(WITH)] * 6
    assert all(t.state is WITH for t in feed(tracker(), says)[2:])


def test_a_change_comes_through_once_the_median_turns() -> None:
    tracks = feed(tracker(), [verdict(WITH)] * 10 + [verdict(WITHOUT)] * 10)
    changed = [t.state for t in tracks[10:]].index(WITHOUT)
    assert changed == TRACKING.history // 2
    assert {t.state for t in tracks[10 : 10 + changed]} <= {WITH, None}


def test_evidence_grows_old_and_the_state_lapses() -> None:
    it = tracker()
    feed(it, [verdict(WITH)] * 3)
    last = 2 * DT
    for i in range(1, 30):
        (track,) = it.step([face(100, says=verdict(None))], last + i * 0.13)
        assert track.state is (WITH if i * 0.13 <= TRACKING.evidence_s else None)
    again = feed(it, [verdict(WITH)] * 3, start=5)
    assert [t.state for t in again] == [None, None, WITH]


def history(*probabilities: float) -> list[Verdict]:
    return [verdict(WITH, p) for p in probabilities]


def test_hysteresis() -> None:
    assert next_state(None, history(0.59), True, 0.6, 0.45) is None
    assert next_state(None, history(0.6), True, 0.6, 0.45) is WITH
    assert next_state(None, history(0.6), False, 0.6, 0.45) is None
    assert next_state(WITH, history(0.45), True, 0.6, 0.45) is WITH
    assert next_state(WITH, history(0.449), True, 0.6, 0.45) is None
    assert next_state(WITHOUT, history(0.6), True, 0.6, 0.45) is WITH


def test_the_median_decides_not_the_mean() -> None:
    assert next_state(None, history(0.61, 0.61, 0.61, 0.0, 0.0), True, 0.6, 0.45) is WITH
    assert next_state(None, history(0.59, 0.59, 0.59, 1.0, 1.0), True, 0.6, 0.45) is None


def test_of_two_equal_states_the_more_urgent_wins() -> None:
    even = [Verdict({WITH: 0.5, WITHOUT: 0.5, INCORRECT: 0.0}, WITH)]
    assert next_state(None, even, True, 0.5, 0.4) is WITHOUT
    assert next_state(WITH, even, True, 0.5, 0.4) is WITH


distributions = st.lists(st.integers(1, 100), min_size=3, max_size=3).map(
    lambda parts: Verdict({s: p / sum(parts) for s, p in zip(MaskState, parts, strict=True)}, WITH)
)


@given(
    st.lists(distributions, min_size=1, max_size=9),
    st.sampled_from([None, *MaskState]),
    st.floats(0.5, 1),
    st.floats(0, 1),
)
def test_next_state_settles(
    verdicts: list[Verdict], state: MaskState | None, enter: float, part: float
) -> None:
    """The same history twice gives the same state: no ringing."""
    once = next_state(state, verdicts, True, enter, enter * part)
    assert next_state(once, verdicts, True, enter, enter * part) is once
