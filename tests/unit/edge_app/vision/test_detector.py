from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import Box, MaskState
from edge_app.errors import BundleError
from edge_app.vision.bundle import load_bundle
from edge_app.vision.detector import (
    BASE_SIZE,
    CODE_GAIN,
    MAX_CANDIDATES,
    BundleDetector,
    cell_grid,
    decode,
    select,
)

BARE = MaskState.WITHOUT_MASK


@pytest.fixture(scope="module")
def detector(tiny: Path) -> BundleDetector:
    return BundleDetector(load_bundle(tiny / "tiny_detector", "detect"))


def test_cells_are_counted_row_by_row_level_by_level() -> None:
    cells = cell_grid(32, 16, (8, 16))
    assert cells.tolist() == [
        [4, 4, 8],
        [12, 4, 8],
        [20, 4, 8],
        [28, 4, 8],
        [4, 12, 8],
        [12, 12, 8],
        [20, 12, 8],
        [28, 12, 8],
        [8, 8, 16],
        [24, 8, 16],
    ]


@given(
    st.tuples(*[st.floats(-3, 3, width=32)] * 4),
    st.integers(0, 300),
    st.integers(0, 300),
    st.sampled_from([8, 16, 32]),
)
def test_decode_one_cell(code: tuple[float, ...], x: int, y: int, stride: int) -> None:
    dx, dy, width, height = code
    (box,) = decode(np.array([code], np.float32), np.array([[x, y, stride]], np.float32))
    left, top, wide, high = box.tolist()
    assert wide == pytest.approx(BASE_SIZE * stride * np.exp(width * CODE_GAIN), rel=1e-3)
    assert high == pytest.approx(BASE_SIZE * stride * np.exp(height * CODE_GAIN), rel=1e-3)
    assert left + wide / 2 == pytest.approx(x + dx * CODE_GAIN * stride, abs=1e-2)
    assert top + high / 2 == pytest.approx(y + dy * CODE_GAIN * stride, abs=1e-2)


def test_the_threshold_itself_is_enough_and_the_best_comes_first() -> None:
    cells = cell_grid(256, 64, (8,))
    scores = np.zeros(len(cells), np.float32)
    scores[[0, 8, 16]] = [0.5, 0.9, 0.49]
    boxes, kept = select(np.zeros((len(cells), 4), np.float32), scores, cells, 0.5, 0.4)
    assert kept.tolist() == pytest.approx([0.9, 0.5])
    assert boxes.shape == (2, 4)


def test_nothing_found_is_an_empty_answer() -> None:
    cells = cell_grid(32, 32, (8,))
    boxes, kept = select(np.zeros((16, 4), np.float32), np.zeros(16, np.float32), cells, 0.5, 0.4)
    assert boxes.shape == (0, 4)
    assert kept.shape == (0,)


def test_of_too_many_candidates_the_best_are_looked_at() -> None:
    cells = cell_grid(256, 192, (8,))
    assert len(cells) > 2 * MAX_CANDIDATES
    scores = np.linspace(0.6, 0.9, len(cells), dtype=np.float32)
    codes = np.full((len(cells), 4), -3, np.float32)  # small boxes that do not overlap
    _, kept = select(codes, scores, cells, 0.5, 0.99)
    assert kept.tolist() == sorted(scores.tolist(), reverse=True)[:MAX_CANDIDATES]


def test_a_painted_face_is_found_where_it_is(detector: BundleDetector, paint: Any) -> None:
    (face,) = detector.detect(paint({(5, 4): BARE}))
    assert face.box.as_tuple() == pytest.approx((28, 20, 60, 52), abs=0.5)
    assert face.score > 0.9
    assert face.verdict is None


@pytest.mark.parametrize("size", [(256, 192), (512, 192), (64, 240)])
def test_boxes_come_in_pixels_of_the_picture(
    size: tuple[int, int], detector: BundleDetector, paint: Any
) -> None:
    picture = paint({(5, 4): BARE})
    scale = min(size[0] / 128, size[1] / 96)
    inner = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[: inner.shape[0], : inner.shape[1]] = inner
    if size == (256, 192):
        (face,) = detector.detect(image)
        assert face.box.as_tuple() == pytest.approx((56, 40, 120, 104), abs=1)
    for face in detector.detect(image):
        assert 0 <= face.box.x0 < face.box.x1 <= size[0]
        assert 0 <= face.box.y0 < face.box.y1 <= size[1]


def test_a_face_at_the_edge_is_cut_off_there(detector: BundleDetector, paint: Any) -> None:
    (face,) = detector.detect(paint({(0, 0): BARE}))
    assert face.box.as_tuple() == pytest.approx((0, 0, 20, 20), abs=0.5)


def test_two_faces_are_two_and_a_dark_room_has_none(detector: BundleDetector, paint: Any) -> None:
    assert len(detector.detect(paint({(3, 5): BARE, (11, 5): BARE}))) == 2
    assert detector.detect(paint({})) == []


@pytest.mark.parametrize("threshold", [0.02, 0.3, 0.5, 0.9])
def test_only_near_cells_are_decoded_and_none_is_lost(
    threshold: float, tiny: Path, paint: Any
) -> None:
    detector = BundleDetector(load_bundle(tiny / "tiny_detector", "detect"), threshold)
    image = paint({(2, 5): BARE, (8, 3): BARE, (12, 6): BARE})
    card, interpreter = detector.bundle.card, detector.bundle.interpreter
    by_width = {v.shape[-1]: v[0] for v in interpreter.run_real(image[None])}
    cells = cell_grid(card.input_width, card.input_height, card.strides)
    boxes, every = select(by_width[4], by_width[1][:, 0], cells, threshold, card.nms_iou)
    faces = detector.detect(image)
    assert [face.score for face in faces] == every.tolist()
    for face, box in zip(faces, boxes.tolist(), strict=True):
        cut = Box(*box).within(card.input_width, card.input_height)
        assert face.box.as_tuple() == pytest.approx(cut.as_tuple(), abs=1e-3)
    assert len(every) >= (3 if threshold < 0.9 else 0)


def test_the_threshold_can_be_set(tiny: Path, paint: Any) -> None:
    bundle = load_bundle(tiny / "tiny_detector", "detect")
    assert BundleDetector(bundle).score_threshold == 0.5
    assert BundleDetector(bundle, 1.0).detect(paint({(5, 4): BARE})) == []
    assert BundleDetector(bundle, 0.0).score_threshold == 0.0


def test_a_threshold_that_no_face_can_reach_is_refused() -> None:
    """The light would never see anybody, and never say so."""
    bundle = load_bundle("face_detector", "detect")
    with pytest.raises(BundleError, match=r"score threshold 1, the model's best score is 0\.996"):
        BundleDetector(bundle, 1.0)
