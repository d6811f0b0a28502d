"""The detector's targets, losses and decoding against plain Python and the device's code."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from edge_app.vision.detector import cell_grid, decode
from training.models.detector import (
    MAX_REACH,
    PRIOR,
    SIZE_RANGES,
    STRIDES,
    TARGET_COLUMNS,
    TRUNK,
    DetectorTrainer,
    _iou_and_giou,
    assign_targets,
    build_detector,
    freeze_trunk,
    inference_model,
)

WIDTH, HEIGHT = 96, 64
CELLS = cell_grid(WIDTH, HEIGHT, STRIDES)


def corners(faces):
    """Left, top, width, height as left, top, right, bottom."""
    return np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:]], axis=1)


@st.composite
def boxes(draw, most=4):
    """Up to ``most`` boxes inside the canvas, at least a pixel wide and high, to a tenth."""
    found = []
    for _ in range(draw(st.integers(0, most))):
        x0 = draw(st.integers(0, 10 * (WIDTH - 1)))
        y0 = draw(st.integers(0, 10 * (HEIGHT - 1)))
        x1 = draw(st.integers(x0 + 10, 10 * WIDTH))
        y1 = draw(st.integers(y0 + 10, 10 * HEIGHT))
        found.append([x0, y0, x1, y1])
    return (np.array(found, np.float32) / 10).reshape(-1, 4)


def expected_target(cell, faces, ignored):
    """One cell's target, by going through every face."""
    x, y, stride = (float(v) for v in cell)
    low, high = SIZE_RANGES
    mine = []
    for x0, y0, x1, y1 in faces.astype(float):
        area = float(np.float32(x1 - x0) * np.float32(y1 - y0))
        size = area**0.5
        if stride == STRIDES[0]:
            level = size < stride * high
        elif stride == STRIDES[-1]:
            level = size >= stride * low
        else:
            level = stride * low <= size < stride * high
        reach = min(max(size / 3, stride), MAX_REACH * stride)
        if level and abs(x - (x0 + x1) / 2) < reach and abs(y - (y0 + y1) / 2) < reach:
            mine.append((area, [x0, y0, x1, y1]))
    if mine:
        return [1, 0, *min(mine, key=lambda item: item[0])[1]]
    inside = any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in ignored)
    return [0, float(inside), 0, 0, 0, 0]


@given(faces=boxes(), ignored=boxes(2))
def test_targets_are_those_of_a_search_through_every_cell(faces, ignored) -> None:
    areas = np.prod(faces[:, 2:] - faces[:, :2], axis=1)
    faces = faces[np.unique(areas, return_index=True)[1]]  # equal sizes have no smaller one
    target = assign_targets(faces, ignored, CELLS)
    assert target.shape == (len(CELLS), TARGET_COLUMNS)
    expected = [expected_target(cell, faces, ignored) for cell in CELLS]
    wrong = np.flatnonzero(~np.isclose(target, expected, atol=1e-3).all(axis=1))
    # At the very edge of a level or of the reach, float32 and float64 may differ.
    assert len(wrong) == 0 or on_an_edge(faces)


def on_an_edge(faces):
    sizes = np.sqrt(np.prod(faces[:, 2:] - faces[:, :2], axis=1))
    limits = [stride * factor for stride in STRIDES for factor in SIZE_RANGES]
    near_level = np.abs(sizes[:, None] - limits).min(initial=1.0) < 1e-3
    centres = (faces[:, None, :2] + faces[:, None, 2:]) / 2
    gaps = np.abs(CELLS[None, :, :2] - centres)
    strides = CELLS[None, :, 2:]
    reach = np.clip(sizes[:, None, None] / 3, strides, MAX_REACH * strides)
    return near_level or np.abs(gaps - reach).min(initial=1.0) < 1e-3


@given(faces=boxes(most=1))
def test_every_face_of_a_sensible_size_is_found_by_some_cell(faces) -> None:
    found = assign_targets(faces, np.zeros((0, 4), np.float32), CELLS)[:, 0].sum()
    assert found >= len(faces)


@pytest.fixture(scope="module")
def detector() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_detector(WIDTH, HEIGHT, 0.35, 16, None)


def test_the_trainer_decodes_as_the_device_does(detector) -> None:
    codes = np.random.default_rng(0).uniform(-3, 3, (2, len(CELLS), 4)).astype(np.float32)
    trained = np.asarray(DetectorTrainer(detector, WIDTH, HEIGHT)._decode(codes))
    for mine, one in zip(trained, codes, strict=True):
        np.testing.assert_allclose(mine, corners(decode(one, CELLS)), rtol=1e-5, atol=1e-4)


def test_the_exported_outputs_are_scores_and_bounded_codes(detector) -> None:
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, HEIGHT, WIDTH, 3)).astype(np.float32)
    scores, codes = (np.asarray(part) for part in inference_model(detector)(pictures))
    assert scores.shape == (2, len(CELLS), 1)
    assert codes.shape == (2, len(CELLS), 4)
    assert codes.min() >= -3
    assert codes.max() <= 3
    assert 0 < scores.min() <= scores.max() < 1
    assert np.median(scores) == pytest.approx(PRIOR, rel=0.5)


def giou(a, b):
    """IoU and GIoU of two boxes, as in Rezatofighi et al. 2019."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    overlap = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return overlap / union, overlap / union - (hull - union) / hull


def test_giou_is_the_published_one() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (2, 200, 2))
    sides = rng.uniform(1, 40, (2, 200, 2))
    a, b = np.concatenate([corners, corners + sides], axis=2).astype(np.float32)
    overlap, generalised = (np.asarray(part) for part in _iou_and_giou(a, b))
    expected = np.array(
        [giou(*pair) for pair in zip(a.astype(float), b.astype(float), strict=True)]
    )
    np.testing.assert_allclose(overlap, expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(generalised, expected[:, 1], atol=1e-5)
    assert expected[:, 1].min() < -0.2  # far apart
    assert expected[:, 0].max() > 0.3  # nearly the same


def sample(count=4):
    """Pictures with a bright rectangle, and their targets."""
    rng = np.random.default_rng(3)
    pictures = np.full((count, HEIGHT, WIDTH, 3), -1, np.float32)
    targets = []
    for picture in pictures:
        side = int(rng.integers(16, 40))
        x, y = int(rng.integers(0, WIDTH - side)), int(rng.integers(0, HEIGHT - side))
        picture[y : y + side, x : x + side] = 1
        face = np.array([[x, y, x + side, y + side]], np.float32)
        targets.append(assign_targets(face, np.zeros((0, 4), np.float32), CELLS))
    return pictures, np.stack(targets)


def test_a_gradient_step_makes_the_boxes_fit_better(detector) -> None:
    """The score's target follows the boxes without gradient, so the whole loss may rise at first.

    Here the box loss alone is watched, without moving batch statistics.
    """
    trainer = DetectorTrainer(detector, WIDTH, HEIGHT)
    freeze_trunk(detector, frozen=True)
    pictures, targets = sample()

    def box_loss() -> float:
        trainer.box_loss.reset_state()
        trainer.compute_loss(y=targets, y_pred=trainer(pictures, training=False))
        return float(trainer.box_loss.result())

    before = box_loss()
    with tf.GradientTape() as tape:
        loss = trainer.compute_loss(y=targets, y_pred=trainer(pictures, training=False))
    variables = detector.trainable_variables
    gradients = tape.gradient(loss, variables)
    keras.optimizers.SGD(0.03).apply_gradients(zip(gradients, variables, strict=True))
    assert box_loss() < before - 1e-4


def test_the_least_loss_is_the_right_answer(detector) -> None:
    """Outputs free to take any value find the boxes, and score their own fit."""
    trainer = DetectorTrainer(detector, WIDTH, HEIGHT)
    _, targets = sample(1)
    logits = tf.Variable(tf.zeros((1, len(CELLS), 1)))
    codes = tf.Variable(tf.fill((1, len(CELLS), 4), 3.0))
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(100):
        with tf.GradientTape() as tape:
            loss = trainer.compute_loss(y=targets, y_pred=[logits, codes])
        gradients = tape.gradient(loss, [logits, codes])
        optimizer.apply_gradients(zip(gradients, [logits, codes], strict=True))
    positive = targets[0, :, 0] > 0
    scores = tf.sigmoid(logits)[0, :, 0].numpy()
    found = corners(decode(codes.numpy()[0] - 3, CELLS))
    np.testing.assert_allclose(found[positive], targets[0, positive, 2:], atol=1.5)
    assert scores[positive].min() > 0.8
    assert scores[~positive].max() < 0.2


def test_ignored_cells_and_empty_pictures_cost_what_they_should(detector) -> None:
    trainer = DetectorTrainer(detector, WIDTH, HEIGHT)
    logits = np.zeros((1, len(CELLS), 1), np.float32)
    codes = np.full((1, len(CELLS), 4), 3, np.float32)
    target = np.zeros((1, len(CELLS), TARGET_COLUMNS), np.float32)
    # A score of 0.5 where there is no face: 0.5 ** 2 of a cross-entropy of log 2 per cell.
    loss = float(trainer.compute_loss(y=target, y_pred=[logits, codes]))
    assert loss == pytest.approx(len(CELLS) * 0.25 * np.log(2), rel=1e-4)
    target[..., 1] = 1
    assert float(trainer.compute_loss(y=target, y_pred=[logits, codes])) == 0


def test_frozen_means_that_the_trunk_s_weights_are_not_trained(detector) -> None:
    freeze_trunk(detector, frozen=True)
    trained = {id(v) for v in detector.trainable_variables}
    trunk = detector.get_layer(TRUNK)
    assert trained
    assert not trained & {id(v) for v in trunk.weights}
    assert {id(v) for v in detector.get_layer("patch").weights} <= trained
    freeze_trunk(detector, frozen=False)
    assert {id(v) for v in trunk.trainable_variables} < {
        id(v) for v in detector.trainable_variables
    }
