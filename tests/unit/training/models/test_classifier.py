"""The classifier's shape, its frozen phase, and what wrong start weights say."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edge_app.errors import RecipeError
from training.models.backbone import BATCH_NORM_MOMENTUM, mobilenet_v2
from training.models.classifier import HEAD, build_classifier, freeze_backbone


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_classifier(32, 0.35, 3, 0.3, None)


def values(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path: weight.numpy().copy() for weight in model.weights}


def one_step(model: keras.Model) -> set[str]:
    """Paths of the weights that a training step changes."""
    before = values(model)
    pictures = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    with tf.GradientTape() as tape:
        error = loss(labels, model(pictures, training=True))
    variables = model.trainable_variables
    gradients = tape.gradient(error, variables)
    keras.optimizers.SGD(0.1).apply_gradients(zip(gradients, variables, strict=True))
    return {path for path, old in before.items() if not np.array_equal(old, values(model)[path])}


def test_it_gives_one_logit_per_label(model) -> None:
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 3)


def test_a_frozen_backbone_changes_neither_weights_nor_statistics(model) -> None:
    freeze_backbone(model, frozen=True)
    head = {f"{HEAD}/kernel", f"{HEAD}/bias"}
    changed = one_step(model)
    assert changed
    assert changed <= head


def test_an_unfrozen_backbone_changes_weights_and_statistics(model) -> None:
    freeze_backbone(model, frozen=False)
    changed = one_step(model)
    assert {"Conv1/kernel", "bn_Conv1/gamma", "bn_Conv1/moving_mean", f"{HEAD}/bias"} <= changed


def test_batch_statistics_follow_quickly_enough(model) -> None:
    norms = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]
    assert norms
    assert {layer.momentum for layer in norms} == {BATCH_NORM_MOMENTUM}


def message(alpha: float, weights: Path) -> str:
    with pytest.raises(RecipeError) as raised:
        mobilenet_v2(32, 32, alpha, str(weights))
    text = str(raised.value)
    assert len(text.splitlines()) == 1
    assert str(weights) in text
    return text


def test_start_weights_that_cannot_be_used_are_one_line(model, tmp_path) -> None:
    not_weights = tmp_path / "notes.weights.h5"
    not_weights.write_text("no weights")
    assert "start weights" in message(0.35, not_weights)
    wrong_ending = tmp_path / "notes.txt"
    wrong_ending.write_text("no weights")
    assert "File format not supported" in message(0.35, wrong_ending)
    with_top = tmp_path / "other.weights.h5"
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)]).save_weights(with_top)
    message(0.35, with_top)


def test_start_weights_of_another_width_are_one_line_and_the_right_ones_load(tmp_path) -> None:
    file = tmp_path / "narrow.weights.h5"
    narrow = mobilenet_v2(32, 32, 0.35, None)
    narrow.save_weights(file)
    message(0.5, file)
    loaded = mobilenet_v2(64, 64, 0.35, str(file))
    for mine, theirs in zip(loaded.get_weights(), narrow.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
