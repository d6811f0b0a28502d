import numpy as np
import pytest

from edge_app.domain import Box, Face, MaskState, Verdict
from training.metrics import Truths, end_to_end_figures
from training.metrics.end_to_end import MISSED, OUTCOMES, UNCERTAIN

WITH, WITHOUT, INCORRECT = MaskState
BOXES = [(0, 0, 40, 40), (100, 0, 140, 40), (200, 0, 240, 40), (300, 0, 340, 40)]


def face(box, state, score=0.9):
    return Face(Box(*box), score, Verdict(dict.fromkeys(MaskState, 1 / 3), state))


def people(boxes, difficult=()):
    marks = [i in difficult for i in range(len(boxes))]
    return Truths(np.array(boxes, np.float32).reshape(-1, 4), np.array(marks, bool))


def test_every_person_ends_in_one_outcome():
    said = [face(BOXES[0], WITH), face(BOXES[1], WITH), face(BOXES[2], None)]
    said.append(face((500, 0, 540, 40), WITHOUT))
    states = [WITH, WITHOUT, INCORRECT, WITH]
    figures = end_to_end_figures([said], [people(BOXES)], [states])
    assert (figures.faces, figures.found, figures.right) == (4, 3, 1)
    assert (figures.wrong, figures.uncertain, figures.false_alarms) == (1, 1, 1)
    assert figures.classes[WITH].right_rate == 0.5
    assert figures.balanced_right_rate == pytest.approx((0.5 + 0 + 0) / 3)
    row = dict(zip(OUTCOMES, figures.outcomes[0], strict=True))
    assert row == {WITH: 1, WITHOUT: 0, INCORRECT: 0, UNCERTAIN: 0, MISSED: 1}


def test_a_face_without_a_verdict_is_found_but_not_judged():
    said = [Face(Box(*BOXES[0]), 0.9)]
    figures = end_to_end_figures([said], [people(BOXES[:1])], [[WITH]])
    assert (figures.found, figures.right, figures.uncertain) == (1, 0, 1)


def test_the_better_of_two_detections_speaks_for_a_person():
    said = [face(BOXES[0], WITHOUT, 0.6), face(BOXES[0], WITH, 0.8)]
    figures = end_to_end_figures([said], [people(BOXES[:1])], [[WITH]])
    assert (figures.right, figures.false_alarms) == (1, 1)


def test_small_and_difficult_people_count_neither_way():
    boxes = [BOXES[0], BOXES[1], (200, 0, 220, 20)]
    said = [face(box, WITHOUT) for box in boxes]
    figures = end_to_end_figures([said], [people(boxes, [1])], [[WITHOUT, WITH, WITH]])
    assert (figures.faces, figures.right, figures.false_alarms) == (1, 1, 0)


def test_a_class_that_does_not_occur_has_no_rate():
    figures = end_to_end_figures([[face(BOXES[0], WITH)]], [people(BOXES[:1])], [[WITH]])
    assert figures.classes[INCORRECT].right_rate is None
    assert figures.balanced_right_rate == 1.0


def test_nobody_to_find_is_refused():
    with pytest.raises(ValueError, match="no face"):
        end_to_end_figures([[]], [people([])], [[]])
