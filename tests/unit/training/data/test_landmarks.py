from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.domain import Box, Image, MaskState
from edge_app.errors import UsageError
from training.data.landmarks import MIN_SIDE, Landmarker
from training.data.pictures import read_picture
from training.data.store import FaceRecord

YUNET = "peers/yunet_2026may.onnx"


@pytest.fixture(scope="module")
def landmarker(shared: Path) -> Landmarker:
    return Landmarker(shared / YUNET)


@pytest.fixture(scope="module")
def portrait(shared: Path) -> tuple[Image, Box]:
    """A frontal face and its box (by the teacher)."""
    files = json.loads((shared / "data" / "teacher_boxes.json").read_text())
    name = "binary/with_mask/0129.jpg"
    x, y, width, height, _ = files[name][0]
    return read_picture(shared / "data" / name).image, Box(x, y, x + width, y + height)


def test_the_five_points_lie_in_a_face_in_order(
    landmarker: Landmarker, portrait: tuple[Image, Box]
) -> None:
    image, box = portrait
    points = landmarker.find(image, box)
    assert points is not None
    right_eye, left_eye, nose, right_mouth, left_mouth = points
    assert all(box.x0 < x < box.x1 and box.y0 < y < box.y1 for x, y in points)
    assert right_eye[0] < nose[0] < left_eye[0]  # the subject's right is on the left
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


@pytest.mark.parametrize("factor", [0.5, 1.7])
def test_points_scale_and_shift_with_the_picture(
    landmarker: Landmarker, portrait: tuple[Image, Box], factor: float
) -> None:
    image, box = portrait
    dx, dy = 40, 25
    larger = np.asarray(cv2.resize(image, None, fx=factor, fy=factor), np.uint8)
    moved = np.asarray(cv2.copyMakeBorder(larger, dy, 0, dx, 0, cv2.BORDER_REPLICATE), np.uint8)
    there = Box(*(v * factor + d for v, d in zip(box.as_tuple(), (dx, dy) * 2, strict=True)))
    points, again = landmarker.find(image, box), landmarker.find(moved, there)
    assert points is not None
    assert again is not None
    expected = np.array(points) * factor + (dx, dy)
    np.testing.assert_allclose(np.array(again), expected, atol=0.04 * there.width)


def test_no_points_where_there_is_no_face(
    landmarker: Landmarker, portrait: tuple[Image, Box]
) -> None:
    image, box = portrait
    assert landmarker.find(np.full_like(image, 90), box) is None


def test_only_labelled_faces_that_are_large_enough_are_marked(
    landmarker: Landmarker, portrait: tuple[Image, Box]
) -> None:
    image, box = portrait
    face = FaceRecord(box, MaskState.WITH_MASK)
    marked = landmarker.mark(image, face)
    assert marked.landmarks is not None
    assert (marked.box, marked.label) == (face.box, face.label)
    assert landmarker.mark(image, FaceRecord(box, None)).landmarks is None
    factor = (MIN_SIDE - 0.5) / box.short_side
    small = np.asarray(cv2.resize(image, None, fx=factor, fy=factor), np.uint8)
    tiny = FaceRecord(Box(*(v * factor for v in box.as_tuple())), MaskState.WITH_MASK)
    assert landmarker.mark(small, tiny).landmarks is None


def test_a_missing_or_broken_model_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        Landmarker(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"this is not a network")
    with pytest.raises(UsageError, match="OpenCV cannot read it") as caught:
        Landmarker(tmp_path / "bad.onnx")
    assert "\n" not in str(caught.value)
