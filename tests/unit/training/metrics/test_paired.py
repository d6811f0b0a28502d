"""Paired differences: what must be seen is seen, and what cannot be told is not."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics import Detections, Truths, match
from training.metrics.paired import (
    MIN_GROUPS,
    found_difference,
    precision_difference,
    recall_difference,
)


def test_a_model_against_itself_differs_by_nothing() -> None:
    right = [True, False] * 20
    d = recall_difference(right, right, range(40))
    assert (d.new, d.old) == (0.5, 0.5)
    assert d.interval is not None
    assert (d.interval.low, d.interval.high) == (0, 0)


def test_a_loss_on_many_faces_is_certain_and_on_few_is_not() -> None:
    old = [True] * 100
    lost = recall_difference([False] * 10 + [True] * 90, old, range(100))
    assert lost.new == pytest.approx(0.9)
    assert lost.interval is not None
    assert lost.interval.low < -0.1 < lost.interval.high < 0
    noise = recall_difference([False] * 2 + [True] * 98, old, range(100))
    assert noise.interval is not None
    assert noise.interval.high == 0


def test_near_duplicates_count_as_one() -> None:
    """Ten lost faces of one picture are one loss."""
    new, old = [False] * 10 + [True] * 90, [True] * 100
    alone = recall_difference(new, old, range(100))
    together = recall_difference(new, old, [max(0, i - 9) for i in range(100)])
    assert together.groups == 91
    assert alone.interval is not None
    assert together.interval is not None
    assert alone.interval.high < 0 == together.interval.high


def test_what_the_samples_share_falls_out() -> None:
    """Both err on the same hard half; unpaired, that noise would hide the difference."""
    hard = [True, False] * 100
    new = [h and i % 20 != 0 for i, h in enumerate(hard)]
    d = recall_difference(new, hard, range(200))
    assert d.interval is not None
    assert d.interval.high < 0


def test_too_few_groups_give_no_interval() -> None:
    number = MIN_GROUPS - 1
    few = recall_difference([False] * 9, [True] * 9, [i % number for i in range(9)])
    assert few.interval is None
    assert few.groups == number
    assert few.new - few.old == -1


def test_uneven_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="equally many"):
        recall_difference([True], [True, False], [0, 1])
    with pytest.raises(ValueError, match="at least one"):
        recall_difference([], [], [])


def scene(found: int, pictures: int):
    """Pictures with one face each, found in the first so many."""
    box = np.array([[10, 10, 50, 50]], np.float32)
    truths = [Truths(box, np.array([False]))] * pictures
    hit = Detections(box, np.array([0.9], np.float32))
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    return match([hit] * found + [none] * (pictures - found), truths)


def test_a_detector_that_finds_less_is_worse() -> None:
    d = precision_difference(scene(30, 40), scene(40, 40), range(40), rounds=200)
    assert (d.new, d.old) == (0.75, 1.0)
    assert d.interval is not None
    assert d.interval.low < -0.25 < d.interval.high < 0
    equal = precision_difference(scene(30, 40), scene(30, 40), range(40), rounds=50)
    assert equal.interval is not None
    assert (equal.interval.low, equal.interval.high) == (0, 0)


def test_detectors_need_the_same_pictures_and_enough_of_them() -> None:
    with pytest.raises(ValueError, match="same pictures"):
        precision_difference(scene(3, 4), scene(3, 5), range(4))
    assert precision_difference(scene(0, 4), scene(4, 4), range(4)).interval is None


def test_a_threshold_that_misses_faces_lowers_the_recall_alone() -> None:
    same = scene(30, 40)
    d = found_difference(same, same, (0.95, 0.5), range(40))
    assert (d.new, d.old, d.samples, d.groups) == (0.0, 0.75, 40, 40)
    assert d.interval is not None
    assert d.interval.high < 0
    assert precision_difference(same, same, range(40), rounds=5).new == 0.75
    level = found_difference(same, same, (0.8, 0.5), range(40))
    assert level.interval is not None
    assert (level.interval.low, level.interval.high) == (0, 0)


def test_faces_of_one_picture_and_of_near_duplicates_are_drawn_together() -> None:
    boxes = np.array([[10, 10, 50, 50], [60, 10, 100, 50]], np.float32)
    truths = [Truths(boxes, np.array([False, False]))] * 6 + [Truths(boxes[:0], np.zeros(0, bool))]
    both = Detections(boxes, np.array([0.9, 0.4], np.float32))
    none = Detections(boxes[:0], np.zeros(0, np.float32))
    matches = match([both] * 6 + [none], truths)
    d = found_difference(matches, matches, (0.5, 0.3), [0, 0, 1, 2, 3, 4, 5])
    assert (d.new, d.old, d.samples, d.groups) == (0.5, 1.0, 12, 5)
    assert d.interval is not None
    assert (d.interval.low, d.interval.high) == (-0.5, -0.5)
    with pytest.raises(ValueError, match="same pictures"):
        found_difference(matches, scene(3, 7), (0.5, 0.5), range(7))
