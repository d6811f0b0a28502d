from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_app.domain import Box, Face, Image, MaskState
from edge_app.errors import DatasetError
from training.data.boxes import (
    Found,
    central_square,
    detect_boxes,
    labelled_faces,
    read_boxes,
)

LABEL = MaskState.INCORRECT_MASK


def test_read_boxes(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"s/a.jpg": [[1, -2.5, 10, 20, 0.9]], "s/b.jpg": []}))
    assert read_boxes(path) == {
        "s/a.jpg": [Found(Box(1.0, -2.5, 11.0, 17.5), 0.9)],
        "s/b.jpg": [],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "must map picture names to lists"),
        ('{"s/a.jpg": 3}', "must map picture names to lists"),
        ('{"s/a.jpg": [3]}', "s/a.jpg: 3 is not"),
        ('{"s/a.jpg": [[1, 2, 3, 4]]}', "is not .x, y, width, height, score"),
        ('{"s/a.jpg": [[1, 2, 3, "wide", 0.5]]}', "is not .x, y, width, height, score"),
        ('{"s/a.jpg": [[1, 2, 0, 4, 0.5]]}', "empty box"),
        ('{"s/a.jpg": [[1, 2, 3, 4, 1.5]]}', "score outside"),
        ('{"s/a.jpg": [[NaN, 2, 3, 4, 0.5]]}', "empty box"),
    ],
)
def test_unusable_box_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_boxes(path)


def test_a_missing_box_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_boxes(tmp_path / "none.json")


def test_the_label_goes_to_the_dominant_box() -> None:
    small_sure = Found(Box(0, 0, 10, 10), 0.95)
    large = Found(Box(20, 20, 60, 60), 0.5)
    faces = labelled_faces(LABEL, [small_sure, large], "teacher", 100, 100)
    assert [(f.box, f.label, f.score, f.origin) for f in faces] == [
        (large.box, LABEL, 0.5, "teacher"),
        (small_sure.box, None, 0.95, "teacher"),
    ]


def test_doubtful_others_are_dropped_but_the_boundary_is_kept() -> None:
    others = [Found(Box(0, 0, 10, 10), 0.59), Found(Box(0, 0, 10, 10), 0.6)]
    faces = labelled_faces(LABEL, [Found(Box(20, 20, 60, 60), 0.9), *others], "teacher", 100, 100)
    assert [face.score for face in faces] == [0.9, 0.6]


def test_boxes_that_stick_out_stay_as_they_are_but_those_outside_go() -> None:
    out = [Found(Box(-30, 0, 0, 40), 0.9), Found(Box(0, 100, 90, 190), 0.9)]
    sticking = Found(Box(-10, -10, 110, 110), 0.7)
    faces = labelled_faces(LABEL, [*out, sticking], "teacher", 100, 100)
    assert [face.box for face in faces] == [sticking.box]


def test_without_a_box_the_picture_stands_for_the_face() -> None:
    (face,) = labelled_faces(LABEL, [], "teacher", 80, 60)
    assert (face.box, face.label, face.origin, face.score) == (
        Box(0, 0, 80, 60),
        LABEL,
        "whole",
        None,
    )


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [(80, 60, Box(10, 0, 70, 60)), (61, 81, Box(0, 10, 61, 71)), (50, 50, Box(0, 0, 50, 50))],
)
def test_central_square(width: int, height: int, box: Box) -> None:
    face = central_square(LABEL, width, height)
    assert (face.box, face.origin) == (box, "whole")


class WhiteDetector:
    """A detector that marks everything white."""

    def detect(self, image: Image) -> list[Face]:
        ys, xs = np.nonzero(image.min(axis=2) == 255)
        box = Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
        return [Face(box, 0.8)]


def test_detected_boxes_are_in_pixels_of_the_picture_and_may_stick_out() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[10:20, 30:50] = 255
    assert detect_boxes(WhiteDetector(), image) == [Found(Box(30, 10, 50, 20), 0.8)]
    image[:20, :50] = 255  # touches two edges: its continuation on the border is found too
    assert detect_boxes(WhiteDetector(), image) == [Found(Box(-20, -10, 50, 20), 0.8)]
