from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import Box, MaskState
from training.data.samples import Annotation, Sample, Severity, settle

Corners = tuple[float, float, float, float]


def sample(*boxes: Corners, relative: bool = False, size: tuple[int, int] | None = None) -> Sample:
    annotations = tuple(
        Annotation(MaskState.WITH_MASK, box, relative, where=f"object {i}")
        for i, box in enumerate(boxes, start=1)
    )
    return Sample("set", "set/a.jpg", Path("a.jpg"), annotations, stated_size=size)


def test_float_boxes_inside_pass_unchanged() -> None:
    boxes, problems = settle(sample((1.5, 2.25, 50.0, 60.75)), 100, 80)
    assert [item.box for item in boxes] == [Box(1.5, 2.25, 50.0, 60.75)]
    assert problems == []


def test_relative_boxes_are_scaled_to_the_picture() -> None:
    boxes, problems = settle(sample((0.25, 0.5, 0.75, 1.0), relative=True), 200, 80)
    assert boxes[0].box == Box(50, 40, 150, 80)
    assert problems == []


def test_rounding_of_relative_boxes_at_the_edge_is_no_problem() -> None:
    boxes, problems = settle(sample((-1e-6, 0, 1.000001, 1), relative=True), 200, 80)
    assert boxes[0].box == Box(0, 0, 200, 80)
    assert problems == []


def test_a_box_that_sticks_out_is_clipped_with_a_note() -> None:
    boxes, problems = settle(sample((-2, 10, 50, 83)), 100, 80)
    assert boxes[0].box == Box(0, 10, 50, 80)
    assert [problem.severity for problem in problems] == [Severity.NOTE]
    assert str(problems[0]) == "set/a.jpg: object 1: sticks out by 3.0 px, clipped"


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((100, 10, 120, 20), "lies outside the 100x80 picture"),
        ((10, -20, 20, 0), "lies outside the 100x80 picture"),
        ((50, 10, 20, 30), "has swapped corners"),
        ((20, 30, 50, 10), "has swapped corners"),
        ((20, 30, 20, 50), "is empty"),
        ((float("nan"), 0, 10, 10), "is not finite"),
        ((0, 0, float("inf"), 10), "is not finite"),
    ],
)
def test_an_unusable_box_is_reported_and_skipped_alone(box: Corners, reason: str) -> None:
    boxes, problems = settle(sample(box, (1, 1, 9, 9)), 100, 80)
    assert [item.box for item in boxes] == [Box(1, 1, 9, 9)]
    assert len(problems) == 1
    assert problems[0].severity is Severity.ERROR
    assert problems[0].reason.startswith("object 1: box [")
    assert reason in problems[0].reason


def test_an_annotation_for_another_picture_size_is_not_believed() -> None:
    boxes, problems = settle(sample((1, 1, 9, 9), size=(80, 100)), 100, 80)
    assert boxes == []
    assert "the picture is 100x80, its annotation is for 80x100" in problems[0].reason


def test_class_folder_labels_have_no_box() -> None:
    settled, problems = settle(
        Sample("set", "set/a.jpg", Path("a.jpg"), (Annotation(MaskState.WITHOUT_MASK),)), 10, 10
    )
    assert [(item.label, item.box) for item in settled] == [(MaskState.WITHOUT_MASK, None)]
    assert problems == []


@given(
    st.tuples(*[st.floats(-300, 300, width=32)] * 4),
    st.integers(1, 200),
    st.integers(1, 200),
)
def test_every_box_is_either_inside_the_picture_or_reported(
    box: Corners, width: int, height: int
) -> None:
    boxes, problems = settle(sample(box), width, height)
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    assert len(boxes) + len(errors) == 1
    for item in boxes:
        assert item.box is not None
        assert 0 <= item.box.x0 < item.box.x1 <= width
        assert 0 <= item.box.y0 < item.box.y1 <= height
