from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import Box, Face, Frame, Image, MaskState, Observation, Signal, Verdict
from edge_app.errors import BundleError, BundleNotFoundError
from edge_app.pipeline import Pipeline, build_pipeline
from edge_app.settings import Settings, replace_settings

WITH, WITHOUT = MaskState.WITH_MASK, MaskState.WITHOUT_MASK
BLANK = np.zeros((480, 640, 3), np.uint8)


class Clock:
    """A timer that moves only when something takes time."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeDetector:
    """Finds the faces that it is told to."""

    def __init__(self, clock: Clock, cost_ms: float = 0.0) -> None:
        self.clock, self.cost_ms = clock, cost_ms
        self.faces: Sequence[Face] = ()
        self.sizes: list[tuple[int, ...]] = []

    def detect(self, image: Image) -> list[Face]:
        self.clock.now += self.cost_ms / 1000
        self.sizes.append(image.shape)
        return list(self.faces)


class FakeJudge:
    """Says the same of everybody, takes its time, and remembers whom it saw."""

    def __init__(self, clock: Clock, cost_ms: float, state: MaskState | None = WITH) -> None:
        self.clock, self.cost_ms, self.state = clock, cost_ms, state
        self.seen: list[Box] = []

    def classify(self, image: Image, box: Box) -> Verdict:
        self.clock.now += self.cost_ms / 1000
        self.seen.append(box)
        best = self.state or WITHOUT
        return Verdict({s: 0.8 if s is best else 0.1 for s in MaskState}, self.state)


def row(*sizes: float) -> list[Face]:
    """Faces side by side, far enough apart not to be taken for each other."""
    return [Face(Box(i * 300, 0, i * 300 + s, s), 0.9) for i, s in enumerate(sizes)]


class Rig:
    """A pipeline around fakes, 10 frames per second."""

    def __init__(self, *sizes: float, cost_ms: float = 10, state: MaskState | None = WITH) -> None:
        self.clock = Clock()
        self.detector = FakeDetector(self.clock, cost_ms=7)
        self.detector.faces = row(*sizes)
        self.judge = FakeJudge(self.clock, cost_ms, state)
        self.pipeline = Pipeline(self.detector, self.judge, Settings(), self.clock)
        self.index = 0

    def step(self, time: float | None = None) -> Observation:
        self.judge.seen.clear()
        at = self.index / 10 if time is None else time
        observation = self.pipeline.step(Frame(BLANK, at, self.index, f"{self.index}.jpg"))
        self.index += 1
        return observation

    def judged(self) -> list[float]:
        """Widths of the faces judged in the last step, in order."""
        return [box.width for box in self.judge.seen]


# Budget and fairness


def test_faces_are_judged_largest_first_within_the_budget() -> None:
    rig = Rig(50, 90, 70, 60, 80, cost_ms=15)
    observation = rig.step()
    assert rig.judged() == [90, 80]
    assert [f.verdict is not None for f in observation.faces] == [False, True, False, False, True]
    assert [f.box.width for f in observation.faces] == [50, 90, 70, 60, 80]


def test_at_least_one_face_is_judged() -> None:
    rig = Rig(50, 90, cost_ms=500)
    rig.step()
    assert rig.judged() == [90]


def test_who_was_left_out_comes_first_next_time() -> None:
    rig = Rig(50, 90, 70, 60, 80, cost_ms=20)
    order = []
    for _ in range(3):
        rig.step()
        order.append(rig.judged())
    assert order == [[90, 80], [70, 60], [50, 90]]


@given(st.lists(st.integers(30, 200), min_size=1, max_size=12), st.floats(1, 100))
def test_everybody_is_judged_soon(sizes: list[int], cost_ms: float) -> None:
    rig = Rig(*sizes, cost_ms=cost_ms)
    unjudged = {face.box for face in rig.detector.faces}
    for _ in sizes:
        rig.step()
        assert rig.judge.seen
        unjudged -= set(rig.judge.seen)
    assert not unjudged


@pytest.mark.parametrize("cost_ms", [4, 5], ids=["Pi 5", "Pi 4"])
def test_of_twenty_people_everybody_is_judged_within_a_second(cost_ms: float) -> None:
    """At the budget of one face and 10 frames per second, over and over."""
    rig = Rig(*range(40, 60), cost_ms=cost_ms)
    last = dict.fromkeys((face.box for face in rig.detector.faces), 0.0)
    for step in range(50):
        observation = rig.step()
        assert observation.timings["classify"] <= Settings().classifier.budget_ms
        for box in rig.judge.seen:
            last[box] = step / 10
        assert all(step / 10 - at < 1.0 for at in last.values())
    assert {track.verdicts > 3 for track in observation.tracks} == {True}


# Sizes


def test_small_faces_are_followed_but_not_judged_and_tiny_ones_dropped() -> None:
    rig = Rig(15.9, 16, 23.9, 24)
    observation = rig.step()
    assert [f.box.width for f in observation.faces] == pytest.approx([16, 23.9, 24])
    assert [f.verdict is not None for f in observation.faces] == [False, False, True]
    assert len(observation.tracks) == 3


def test_faces_are_found_in_the_small_picture_and_judged_in_the_large_one() -> None:
    rig = Rig(40)
    small = np.zeros((120, 320, 3), np.uint8)
    observation = rig.pipeline.step(Frame(BLANK, 0, 0, small=small))
    assert rig.detector.sizes == [(120, 320, 3)]
    assert observation.faces[0].box == Box(0, 0, 80, 160)
    assert rig.judge.seen == [Box(0, 0, 80, 160)]


# What comes out


def test_an_observation_tells_the_frame_and_the_stages() -> None:
    rig = Rig(50, 60, cost_ms=10)
    rig.step()
    observation = rig.step()
    assert (observation.frame_index, observation.time, observation.name) == (1, 0.1, "1.jpg")
    assert observation.timings == pytest.approx(
        {"detect": 7, "classify": 20, "track": 0, "total": 27}
    )


def test_people_are_confirmed_and_the_light_follows() -> None:
    rig = Rig(50)
    assert [rig.step().signal for _ in range(3)] == [Signal.IDLE, Signal.IDLE, Signal.COMPLIANT]
    rig.judge.state = WITHOUT
    signals = [rig.step().signal for _ in range(6)]
    assert signals[0] is Signal.COMPLIANT
    assert signals[-1] is Signal.NO_MASK
    rig.detector.faces = ()
    assert [rig.step().signal for _ in range(30)][-1] is Signal.IDLE


def test_uncertain_verdicts_leave_the_light_idle() -> None:
    rig = Rig(50, state=None)
    assert {rig.step().signal for _ in range(50)} == {Signal.IDLE}


# Time that goes back


def test_a_looped_video_goes_on() -> None:
    rig = Rig(50)
    for _ in range(5):
        for i in range(20):
            observation = rig.step(100 + i / 10)
    assert observation.signal is Signal.COMPLIANT
    assert observation.time == 101.9, "the source's own time"
    assert [t.id for t in observation.tracks] == [1]


def test_a_clock_set_back_holds_no_signal_for_longer() -> None:
    rig = Rig(50, state=WITHOUT)
    for i in range(5):
        rig.step(3600 + i / 10)
    rig.detector.faces = ()
    signals = [rig.step(i / 10).signal for i in range(30)]
    assert signals[0] is Signal.NO_MASK
    assert signals[-1] is Signal.IDLE


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_any_order_of_times_is_survived(times: list[float]) -> None:
    rig = Rig(50)
    for time in times:
        observation = rig.step(time)
        assert observation.time == time
        assert observation.signal is not Signal.FAULT
        assert all(t.age >= 0 and t.unseen >= 0 for t in observation.tracks)


# One picture alone


@pytest.mark.parametrize(
    ("state", "signal"),
    [(WITH, Signal.COMPLIANT), (WITHOUT, Signal.NO_MASK), (None, Signal.IDLE)],
)
def test_a_picture_alone_is_judged_at_once_and_whole(
    state: MaskState | None, signal: Signal
) -> None:
    rig = Rig(*[50] * 20, cost_ms=100, state=state)
    observation = rig.pipeline.judge_alone(Frame(BLANK, 7, 3, "x.jpg"))
    assert observation.signal is signal
    assert all(face.verdict is not None for face in observation.faces)
    assert observation.people == 20
    assert (observation.frame_index, observation.time, observation.name) == (3, 7, "x.jpg")
    assert set(observation.timings) == {"detect", "classify", "track", "total"}


def test_pictures_alone_leave_no_trace() -> None:
    rig = Rig(50, state=WITHOUT)
    for i in range(5):
        assert rig.pipeline.judge_alone(Frame(BLANK, i, i)).signal is Signal.NO_MASK
    rig.detector.faces = ()
    assert rig.pipeline.judge_alone(Frame(BLANK, 5, 5)).signal is Signal.IDLE
    assert rig.step(0).signal is Signal.IDLE


# With real (tiny) models


def test_built_from_settings_it_runs_on_pictures(tiny_settings: Settings, paint: Any) -> None:
    pipeline = build_pipeline(tiny_settings)
    scene = {(4, 5): WITH, (11, 5): WITHOUT}
    for i in range(3):
        observation = pipeline.step(Frame(paint(scene), i * 0.1, i))
    assert observation.signal is Signal.NO_MASK
    assert {t.state for t in observation.tracks} == {WITH, WITHOUT}
    assert observation.reason == "1 person without a mask (of 2 in view)"
    alone = pipeline.judge_alone(Frame(paint({(4, 5): WITH, (11, 5): None}), 0, 0))
    assert alone.signal is Signal.IDLE, "one of them is uncertain"


def test_the_settings_thresholds_reach_the_models(tiny_settings: Settings, paint: Any) -> None:
    strict = replace_settings(tiny_settings, {"detector.score_threshold": 1.0})
    frame = Frame(paint({(4, 5): WITH}), 0, 0)
    assert build_pipeline(strict).judge_alone(frame).people == 0
    unsure = replace_settings(tiny_settings, {"classifier.confidence_floor": 1.0})
    assert build_pipeline(unsure).judge_alone(frame).signal is Signal.IDLE


def test_bundles_for_the_wrong_task_are_refused(tiny_settings: Settings) -> None:
    swapped = replace_settings(tiny_settings, {"detector.bundle": tiny_settings.classifier.bundle})
    with pytest.raises(BundleError, match="'detect' one is needed"):
        build_pipeline(swapped)
    missing = replace_settings(tiny_settings, {"classifier.bundle": "nobody"})
    with pytest.raises(BundleNotFoundError):
        build_pipeline(missing)
