"""Figures of detector and classifier together: is a person found *and* rightly judged?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Face, MaskState
from training.metrics.classification import LABELS, Interval, wilson
from training.metrics.detection import DEFAULT_IOU, FALSE_ALARM, Truths, assign

MISSED = "missed"
UNCERTAIN = "uncertain"
OUTCOMES = (*(str(label) for label in LABELS), UNCERTAIN, MISSED)
"""What can become of a person, in the order of :attr:`EndToEndFigures.outcomes`."""

DEFAULT_MIN_FACE = 24.0
"""Smallest face that counts, in pixels of the picture: below this even people guess."""


@dataclass(frozen=True, slots=True)
class EndToEndClass:
    """What becomes of the people of one class.

    Attributes:
        faces: People of this class that count.
        found: How many of them were detected.
        right: How many were detected and given the right state.
        right_rate: ``right / faces``; None without faces.
        right_interval: Wilson interval of that rate.
    """

    faces: int
    found: int
    right: int
    right_rate: float | None
    right_interval: Interval | None


@dataclass(frozen=True, slots=True)
class EndToEndFigures:
    """All figures of a detector with a classifier on one set of pictures.

    Attributes:
        pictures: Pictures looked at.
        faces: People that count.
        found: How many of them were detected.
        right: How many were detected and given the right state.
        wrong: How many were detected and given a wrong state.
        uncertain: How many were detected and given no state.
        balanced_right_rate: Mean of the classes' right rates, over the classes that occur.
        false_alarms: Detections on nobody (small and difficult people excepted).
        classes: Figures per class.
        outcomes: Counts; row = true class, column = one of :data:`OUTCOMES`.
    """

    pictures: int
    faces: int
    found: int
    right: int
    wrong: int
    uncertain: int
    balanced_right_rate: float
    false_alarms: int
    classes: dict[MaskState, EndToEndClass]
    outcomes: tuple[tuple[int, ...], ...]


def end_to_end_figures(
    faces: Sequence[Sequence[Face]],
    truths: Sequence[Truths],
    states: Sequence[Sequence[MaskState]],
    iou_limit: float = DEFAULT_IOU,
    min_short_side: float = DEFAULT_MIN_FACE,
) -> EndToEndFigures:
    """Compare what a detector and a classifier say together with the truth.

    Faces are matched as in :mod:`training.metrics.detection`. A face without a verdict, or
    with an uncertain one, is found but not rightly judged.

    Args:
        faces: Detected and classified faces, one sequence per picture.
        truths: The people of every picture, in the same pixels.
        states: The true state of each of them, in the order of the boxes.
        iou_limit: Overlap (intersection over union) that makes a hit.
        min_short_side: Smallest face that counts, in pixels.

    Raises:
        ValueError: The sequences differ in length, or no truth counts.
    """
    if not len(faces) == len(truths) == len(states):
        raise ValueError(f"{len(faces)} pictures found, {len(truths)} and {len(states)} true")
    outcomes = np.zeros((len(LABELS), len(OUTCOMES)), np.int64)
    alarms = 0
    for found, truth, true_states in zip(faces, truths, states, strict=True):
        ordered = sorted(found, key=lambda face: -face.score)
        boxes = np.array([face.box.as_tuple() for face in ordered], np.float32).reshape(-1, 4)
        fates = assign(boxes, truth, iou_limit, min_short_side)
        alarms += int(np.count_nonzero(fates == FALSE_ALARM))
        by_truth = {int(fate): face for fate, face in zip(fates, ordered, strict=True)}
        for i in np.flatnonzero(truth.counted(min_short_side)).tolist():
            outcome = _outcome(by_truth.get(i))
            outcomes[LABELS.index(true_states[i]), OUTCOMES.index(outcome)] += 1
    if outcomes.sum() == 0:
        raise ValueError("no face of the set counts: end-to-end figures are not defined")
    return _figures(outcomes, alarms, len(truths))


def _outcome(face: Face | None) -> str:
    if face is None:
        return MISSED
    if face.verdict is None or face.verdict.state is None:
        return UNCERTAIN
    return str(face.verdict.state)


def _figures(outcomes: NDArray[np.int64], alarms: int, pictures: int) -> EndToEndFigures:
    classes = {}
    for i, label in enumerate(LABELS):
        total, right = int(outcomes[i].sum()), int(outcomes[i, i])
        classes[label] = EndToEndClass(
            faces=total,
            found=total - int(outcomes[i, OUTCOMES.index(MISSED)]),
            right=right,
            right_rate=right / total if total else None,
            right_interval=wilson(right, total) if total else None,
        )
    faces, right = int(outcomes.sum()), sum(c.right for c in classes.values())
    found = sum(c.found for c in classes.values())
    uncertain = int(outcomes[:, OUTCOMES.index(UNCERTAIN)].sum())
    rates = [c.right_rate for c in classes.values() if c.right_rate is not None]
    return EndToEndFigures(
        pictures=pictures,
        faces=faces,
        found=found,
        right=right,
        wrong=found - right - uncertain,
        uncertain=uncertain,
        balanced_right_rate=sum(rates) / len(rates),
        false_alarms=alarms,
        classes=classes,
        outcomes=tuple(tuple(int(n) for n in row) for row in outcomes),
    )
