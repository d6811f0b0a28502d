"""Grad-CAM on networks whose maps can be foreseen.

The network passes red and green on as two features, and each is the logit of one class: what
speaks for class 0 is where the picture is red.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edge_app.errors import UsageError
from training.evaluation.gradcam import GradCam, feature_layer, overlay

SIDE = 8


def trunk(pooled=False):
    """Red and green of a picture in -1..1 as two features in 0..2, named like no other layer."""
    picture = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(2, 1, name="colours")(picture)
    x = keras.layers.ReLU(name="positive")(x)
    if pooled:
        x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(picture, x, name="trunk")
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[0, 0, 0, 0] = kernel[0, 0, 1, 1] = 1
    model.get_layer("colours").set_weights([kernel, np.ones(2, np.float32)])
    return model


def head(x):
    dense = keras.layers.Dense(2, name="logits")
    logits = dense(x)
    dense.set_weights([np.eye(2, dtype=np.float32), np.zeros(2, np.float32)])
    return logits


def flat():
    inner = trunk()
    return keras.Model(inner.input, head(keras.layers.GlobalAveragePooling2D()(inner.output)))


def nested():
    picture = keras.Input((SIDE, SIDE, 3))
    return keras.Model(picture, head(keras.layers.GlobalAveragePooling2D()(trunk()(picture))))


def nested_with_its_pooling():
    picture = keras.Input((SIDE, SIDE, 3))
    return keras.Model(picture, head(trunk(pooled=True)(picture)))


def sequential():
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), trunk(pooled=True)])
    return keras.Model(model.inputs, head(model.outputs[0]))


ARCHITECTURES = [flat, nested, nested_with_its_pooling, sequential]


@pytest.fixture
def crop():
    """Half red above on the left, fully green below on the right, black elsewhere."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:4, :4, 0] = 128
    image[4:, 4:, 1] = 255
    return image


@pytest.mark.parametrize("build", ARCHITECTURES)
def test_each_class_is_where_its_colour_is(build, crop):
    grad_cam = GradCam(build())
    logits, (red, green) = grad_cam.maps(crop, [0, 1])
    assert grad_cam.layer.name == "positive"
    assert logits == pytest.approx([2 * 128 / 255 / 4, 2 / 4], abs=1e-5)
    assert red[:4, :4] == pytest.approx(1)
    assert green[4:, 4:] == pytest.approx(1)
    assert red[4:].max() == green[:4].max() == 0


def test_without_a_class_it_explains_the_most_probable_and_leaves_the_model_as_it_was(crop):
    model = flat()
    before = model.predict_on_batch(crop[None] / 127.5 - 1)
    grad_cam = GradCam(model)
    _, (first,) = grad_cam.maps(crop)
    _, (again,) = grad_cam.maps(crop, [1])
    assert np.array_equal(first, again)
    assert np.array_equal(model.predict_on_batch(crop[None] / 127.5 - 1), before)


def test_where_nothing_speaks_for_a_class_its_map_is_empty():
    _, (heat,) = GradCam(flat()).maps(np.zeros((SIDE, SIDE, 3), np.uint8), [0])
    assert heat.shape == (SIDE, SIDE)
    assert heat.max() == 0


def test_a_smaller_map_is_enlarged_to_the_picture():
    picture = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=8, padding="same")(picture)
    x = keras.layers.MaxPooling2D()(x)
    model = keras.Model(picture, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    grad_cam = GradCam(model)
    assert grad_cam.layer.name.startswith("conv2d"), "what the pooling picks is not the map"
    rng = np.random.default_rng(0)
    _, maps = grad_cam.maps(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8), [0, 1, 2])
    for heat in maps:
        assert heat.shape == (32, 32)
        assert heat.max() in (0, pytest.approx(1))
        assert heat.min() >= 0


def test_the_backbone_s_last_activation_is_found_behind_a_convolutional_head():
    base = keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, include_top=False, weights=None)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(base.output)
    x = keras.layers.Flatten()(keras.layers.Conv2D(3, 1)(x))
    assert feature_layer(keras.Model(base.input, x)).name == "out_relu"


def test_several_branches_are_explained_where_they_meet():
    picture = keras.Input((8, 8, 3))
    branches = [keras.layers.Conv2D(2, size, padding="same")(picture) for size in (1, 3)]
    joined = keras.layers.Concatenate(name="joined")(branches)
    features = keras.layers.GlobalAveragePooling2D(keepdims=True)(joined)
    logits = keras.layers.Flatten()(keras.layers.Conv2D(3, 1)(features))
    assert feature_layer(keras.Model(picture, logits)).name == "joined"


@pytest.mark.parametrize("layers", [[], [keras.layers.Conv2D(4, 3, strides=8, padding="same")]])
def test_a_model_without_places_cannot_be_explained(layers):
    stack = [*layers, keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *stack])
    with pytest.raises(UsageError, match="has no convolutional feature map of more than one place"):
        GradCam(model)


def test_an_overlay_colours_only_where_the_map_is(crop):
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[0, 0] = 1
    drawn = overlay(crop, heat)
    assert np.array_equal(drawn[1:], crop[1:])
    assert drawn.dtype == np.uint8
    assert not np.array_equal(drawn[0, 0], crop[0, 0])
