"""Following people from frame to frame, and what is believed of each of them.

Association is that of SORT (Bewley et al. 2016, "Simple online and realtime tracking")
without its Kalman filter: a face continues the track whose last box it overlaps most. At
a kiosk's 5 frames per second somebody who walks past may not overlap their last box at
all, so what is left gets a second chance by distance: no further than a person can walk.

A track's state is decided on the median of each state's probability over its last
*certain* verdicts (compare Frigate, which judges an object by the median of its scores),
with hysteresis. An uncertain verdict changes nothing: it can neither begin a state nor
end one. Only when certain verdicts stay away for ``tracking.evidence_s`` the state lapses.

Pure: no clock, no input or output.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.domain import SIGNAL_OF_STATE, Box, Face, MaskState, Track, Verdict
from edge_app.settings import PolicySettings, TrackingSettings
from edge_app.vision.geometry import Boxes, iou

WALKING_SPEED = 9.0
"""Face widths per second: a brisk walk, 1.4 m/s, of a face 0.16 m wide, straight across."""

MAX_STRIDE = 2.0
"""Face widths that the second chance bridges at most: more would reach the next person."""

MAX_GROWTH = 2.0
"""Ratio of sizes beyond which two boxes are not the same face: walking straight at a
camera one metre away gives 1.4 at 5 frames per second."""


@dataclass(slots=True, eq=False)
class _Person:
    """What the tracker remembers of one track."""

    id: int
    box: Box
    born: float
    seen: float
    seen_step: int
    history: deque[Verdict]
    evidence: float = -math.inf
    certain: int = 0
    verdicts: int = 0
    judged_step: int | None = None
    state: MaskState | None = None


class Tracker:
    """Gives every person in view a number and a smoothed state.

    Args:
        tracking: When two boxes are the same person, and how much is remembered.
        policy: ``confirm_verdicts``, ``enter`` and ``leave``: when a state begins and ends.
    """

    def __init__(self, tracking: TrackingSettings, policy: PolicySettings) -> None:
        self._tracking = tracking
        self._policy = policy
        self._people: list[_Person] = []
        self._steps = 0
        self._time = -math.inf
        self._next_id = 1

    def waits(self, faces: Sequence[Face], time: float) -> list[float]:
        """How many frames ago each face's person was last judged; infinite if never.

        Changes nothing: a following :meth:`step` with these faces continues the same tracks.

        Args:
            faces: The faces of the coming frame.
            time: Its time in seconds.
        """
        waits = [math.inf] * len(faces)
        for at, person in self._match(faces, time):
            if person.judged_step is not None:
                waits[at] = float(self._steps + 1 - person.judged_step)
        return waits

    def step(self, faces: Sequence[Face], time: float) -> tuple[Track, ...]:
        """Take in the faces of one frame.

        Args:
            faces: What was found in the frame, with the verdicts that there are.
            time: Seconds; never less than in the step before.

        Returns:
            Everybody in view, or unseen for at most ``max_unseen_s``, the oldest track first.

        Raises:
            ValueError: The time went backwards.
        """
        if time < self._time:
            raise ValueError(f"time went backwards: {time} after {self._time}")
        matches = self._match(faces, time)
        self._steps += 1
        self._time = time
        for person in self._people:
            if time - person.evidence > self._tracking.evidence_s:
                person.history.clear()
                person.certain, person.state = 0, None
        known = dict(matches)
        for at, face in enumerate(faces):
            person = known.get(at) or self._new(face.box, time)
            person.box, person.seen, person.seen_step = face.box, time, self._steps
            if face.verdict is not None:
                self._judge(person, face.verdict, time)
        self._people = [p for p in self._people if time - p.seen <= self._tracking.max_unseen_s]
        return tuple(
            Track(p.id, p.box, p.state, time - p.born, time - p.seen, p.verdicts)
            for p in self._people
        )

    def _new(self, box: Box, time: float) -> _Person:
        person = _Person(
            self._next_id, box, time, time, self._steps, deque(maxlen=self._tracking.history)
        )
        self._next_id += 1
        self._people.append(person)
        return person

    def _judge(self, person: _Person, verdict: Verdict, time: float) -> None:
        person.verdicts += 1
        person.judged_step = self._steps
        if verdict.state is None:
            return
        person.history.append(verdict)
        person.certain += 1
        person.evidence = time
        person.state = next_state(
            person.state,
            person.history,
            person.certain >= self._policy.confirm_verdicts,
            self._policy.enter,
            self._policy.leave,
        )

    def _match(self, faces: Sequence[Face], time: float) -> list[tuple[int, _Person]]:
        """Pairs of a face's index and the person it continues; each at most once."""
        limit = self._tracking.max_unseen_s
        # Who was in the frame before is matched however long ago that was: at one frame
        # per second nobody could be followed otherwise.
        people = [p for p in self._people if time - p.seen <= limit or p.seen_step == self._steps]
        if not people or not faces:
            return []
        old, new = _array(p.box for p in people), _array(f.box for f in faces)
        overlap = iou(old, new)
        pairs = _greedy(-overlap, overlap >= self._tracking.iou)
        elapsed = np.array([time - p.seen for p in people])
        reach = np.minimum(WALKING_SPEED * elapsed, MAX_STRIDE)
        distance, growth = _strides(old, new)
        near = (distance <= reach[:, None]) & (growth <= MAX_GROWTH)
        near[elapsed > limit, :] = False
        near[[i for i, _ in pairs], :] = False
        near[:, [j for _, j in pairs]] = False
        pairs += _greedy(distance, near)
        return [(j, people[i]) for i, j in pairs]


def next_state(
    state: MaskState | None,
    history: Iterable[Verdict],
    confirmed: bool,
    enter: float,
    leave: float,
) -> MaskState | None:
    """The smoothed state after a new certain verdict.

    A state begins when the median of its probability over the history reaches ``enter``,
    and ends when it falls below ``leave`` or another state's median reaches ``enter``.
    Of two that reach it at once the higher wins, then the more urgent.

    Args:
        state: The state so far.
        history: The last certain verdicts, at least one.
        confirmed: Whether there have been enough of them for a state to begin.
        enter: Median probability at which a state begins.
        leave: Median probability below which it ends.
    """
    rows = [[v.probabilities.get(s, 0.0) for s in MaskState] for v in history]
    medians = dict(zip(MaskState, np.median(rows, axis=0).tolist(), strict=True))
    others = [s for s in MaskState if s != state and medians[s] >= enter]
    if confirmed and others:
        best = max(others, key=lambda s: (medians[s], -SIGNAL_OF_STATE[s].priority))
        if state is None or medians[best] > medians[state]:
            return best
    if state is not None and medians[state] < leave:
        return None
    return state


def _array(boxes: Iterable[Box]) -> Boxes:
    return np.array([box.as_tuple() for box in boxes], np.float32)


def _strides(old: Boxes, new: Boxes) -> tuple[Boxes, Boxes]:
    """Of every pair: centre distance in widths of the old face, and ratio of sizes (>= 1)."""
    sizes = [np.maximum((b[:, 2:] - b[:, :2]).max(axis=1), 1.0) for b in (old, new)]
    centres = [(b[:, :2] + b[:, 2:]) / 2 for b in (old, new)]
    apart = np.linalg.norm(centres[0][:, None] - centres[1][None], axis=2)
    ratio = sizes[0][:, None] / sizes[1][None]
    return apart / sizes[0][:, None], np.maximum(ratio, 1 / ratio)


def _greedy(cost: Boxes, allowed: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pairs (row, column) of the allowed ones, the cheapest first, each row and column once."""
    rows, columns = np.nonzero(allowed)
    order = np.argsort(cost[rows, columns], kind="stable")
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    pairs = []
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in used_rows and j not in used_columns:
            used_rows.add(i)
            used_columns.add(j)
            pairs.append((i, j))
    return pairs
