from __future__ import annotations

import dataclasses
import itertools

import pytest

from edge_app.domain import (
    SIGNAL_OF_STATE,
    Box,
    Face,
    MaskState,
    Observation,
    Signal,
    Verdict,
)


def test_signals_are_ordered_from_fault_to_idle() -> None:
    order = [Signal.FAULT, Signal.NO_MASK, Signal.INCORRECT, Signal.COMPLIANT, Signal.IDLE]
    for urgent, calm in itertools.pairwise(order):
        assert urgent.priority < calm.priority


def test_every_state_asks_for_its_own_signal_and_none_for_fault_or_idle() -> None:
    assert set(SIGNAL_OF_STATE) == set(MaskState)
    assert set(SIGNAL_OF_STATE.values()) == set(Signal) - {Signal.FAULT, Signal.IDLE}
    assert SIGNAL_OF_STATE[MaskState.WITHOUT_MASK] is Signal.NO_MASK


def test_box_measures() -> None:
    box = Box(1, 2, 4, 8)
    assert (box.width, box.height, box.area, box.short_side) == (3, 6, 18, 3)
    assert box.centre == (2.5, 5)
    assert box.as_tuple() == (1, 2, 4, 8)


def test_an_inside_out_box_has_no_area() -> None:
    assert Box(4, 8, 1, 2).area == 0
    assert Box(4, 2, 1, 8).area == 0


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        (Box(1, 2, 3, 4), Box(1, 2, 3, 4)),
        (Box(-5, -6, 30, 40), Box(0, 0, 20, 10)),
        (Box(25, 3, 30, 4), Box(20, 3, 20, 4)),
    ],
)
def test_a_box_is_cut_off_at_the_pictures_edges(box: Box, inside: Box) -> None:
    assert box.within(20, 10) == inside


def test_values_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Box(0, 0, 1, 1).x0 = 5  # type: ignore[misc]


def test_confidence_is_the_best_probability() -> None:
    verdict = Verdict({MaskState.WITH_MASK: 0.3, MaskState.WITHOUT_MASK: 0.7}, None)
    assert verdict.confidence == 0.7


def test_people_are_the_faces_of_the_frame_tracked_or_not() -> None:
    face = Face(Box(0, 0, 9, 9), 0.9)
    assert Observation(0, 0.0, Signal.IDLE, "", (face, face)).people == 2
