"""The registry: preprocessing that travels with the model, start weights, what is refused."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from edge_app.errors import RecipeError
from training.models.backbones import BACKBONES, CAFFE, PREPROCESS, TORCH, build_backbone


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("preprocessing", "published"),
    [
        (TORCH, keras.applications.densenet.preprocess_input),
        (CAFFE, keras.applications.vgg16.preprocess_input),
    ],
)
def test_the_colours_are_those_of_keras(preprocessing, published, pictures) -> None:
    mapped = pictures @ np.array(preprocessing.matrix).T + np.array(preprocessing.offset)
    expected = published((pictures + 1) * 127.5)
    np.testing.assert_allclose(mapped, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        (name, getattr(keras.applications, module).preprocess_input)
        for name, module in {
            "mobilenet_v1": "mobilenet",
            "mobilenet_v2": "mobilenet_v2",
            "inception_v3": "inception_v3",
            "xception": "xception",
            "resnet152v2": "resnet_v2",
        }.items()
    ],
)
def test_a_backbone_without_preprocessing_was_trained_on_minus_1_to_1(
    name, published, pictures
) -> None:
    assert BACKBONES[name].preprocessing is None
    np.testing.assert_allclose(published((pictures + 1) * 127.5), pictures, atol=1e-5)


def test_a_weights_file_is_read_behind_the_preprocessing(tmp_path: Path, pictures) -> None:
    """VGG16 from a file sees what Keras' own preprocessing gives it."""
    plain = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    file = tmp_path / "vgg16.weights.h5"
    plain.save_weights(file)
    model = build_backbone("vgg16", 32, 0.35, str(file))
    assert model.input_shape == (None, 32, 32, 3)
    seen = keras.applications.vgg16.preprocess_input((pictures + 1) * 127.5)
    expected = plain.predict(seen, verbose=0)
    np.testing.assert_allclose(
        model.predict(pictures, verbose=0), expected, rtol=1e-3, atol=1e-3 * expected.max()
    )
    assert not model.get_layer(PREPROCESS).trainable


def test_weights_of_another_network_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "narrow.weights.h5"
    build_backbone("mobilenet_v2", 32, 0.35, None).save_weights(file)
    with pytest.raises(RecipeError, match=r"cannot be used for VGG16 without top") as raised:
        build_backbone("vgg16", 32, 0.35, str(file))
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(RecipeError, match=r"cannot be used for MobileNet 0.5 without top"):
        build_backbone("mobilenet_v1", 32, 0.5, str(file))


def test_the_mlp_has_no_start_weights() -> None:
    with pytest.raises(RecipeError, match="backbone 'mlp' has none; give --weights none"):
        build_backbone("mlp", 32, 0.35, "imagenet")
    assert build_backbone("mlp", 32, 0.35, None).output_shape == (None, 1, 1, 128)


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "vgg16"])
def test_the_fine_tune_point_is_a_layer(name: str) -> None:
    """Of the heavy ones it is too, but building them takes long; see the recipes' runs."""
    backbone = BACKBONES[name]
    model = build_backbone(name, backbone.smallest, 0.35, None)
    assert backbone.fine_tune_from in {layer.name for layer in model.layers}
