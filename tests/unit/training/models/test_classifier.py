"""The classifier's shape, its frozen phase, and what wrong start weights say."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edge_app.errors import RecipeError
from training.models.backbone import BATCH_NORM_MOMENTUM, mobilenet_v2
from training.models.backbones import PREPROCESS
from training.models.classifier import HEAD, HIDDEN, build_classifier, freeze_backbone


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


def test_training_from_a_named_layer_leaves_what_is_before_it(model) -> None:
    """Weights and batch statistics alike: before that layer, batch norm is in inference mode."""
    freeze_backbone(model, frozen=False, unfreeze_from="block_16_expand")
    changed = one_step(model)
    assert {"Conv_1/kernel", "Conv_1_bn/moving_mean", f"{HEAD}/bias"} <= changed
    backbone = {path.split("/")[0] for path in changed} - {HEAD}
    assert all(name.startswith(("block_16", "Conv_1")) for name in backbone)


def test_a_layer_that_does_not_exist_is_answered_with_the_nearest(model) -> None:
    for wrong in ("block_16_expnd", HEAD, "pool"):
        with pytest.raises(RecipeError, match=f"unfreeze_from = '{wrong}' is no layer of the"):
            freeze_backbone(model, frozen=False, unfreeze_from=wrong)
    with pytest.raises(RecipeError, match="the nearest names: block_16_expand, "):
        freeze_backbone(model, frozen=False, unfreeze_from="block_16_expnd")


def test_the_hidden_layer_is_part_of_the_head_and_the_preprocessing_is_never_trained() -> None:
    model = build_classifier(32, 0.35, 2, 0.3, None, "vgg16", dense=8)
    assert model.output_shape == (None, 2)
    freeze_backbone(model, frozen=True)
    trained = {weight.path.split("/")[0] for weight in model.trainable_weights}
    assert trained == {HEAD, HIDDEN}
    freeze_backbone(model, frozen=False)
    trained = {weight.path.split("/")[0] for weight in model.trainable_weights}
    assert "block1_conv1" in trained
    assert PREPROCESS not in trained


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
