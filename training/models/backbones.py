"""The classifier's backbones by name, each with its preprocessing as layers of the model.

Every backbone takes float32 RGB pictures in -1..1, whatever its ImageNet weights were trained
on: what they expect beyond that is a fixed 1x1 convolution at the input. So the preprocessing
travels with the model through every file format, and costs one small INT8 operator.

EfficientNet-Lite is not among them: keras.applications only has EfficientNet with swish and
squeeze-and-excite, which quantise badly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_app.errors import RecipeError

if TYPE_CHECKING:
    import keras

PREPROCESS = "preprocess"
"""Name of the layer that gives a backbone the pixel values it was trained on."""

MLP_UNITS = (256, 128)
"""Hidden layers of the MLP baseline."""

Rows = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """A linear map of colours: ``output = matrix @ rgb + offset`` with rgb in -1..1.

    Attributes:
        matrix: One row per channel of the network's input.
        offset: Added to it.
    """

    matrix: Rows
    offset: tuple[float, float, float]


TORCH = Preprocessing(
    matrix=((0.5 / 0.229, 0, 0), (0, 0.5 / 0.224, 0), (0, 0, 0.5 / 0.225)),
    offset=((0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225),
)
"""Pixels in 0..1, minus ImageNet's mean, by its deviation (``imagenet_utils``, mode "torch")."""

CAFFE = Preprocessing(
    matrix=((0, 0, 127.5), (0, 127.5, 0), (127.5, 0, 0)),
    offset=(127.5 - 103.939, 127.5 - 116.779, 127.5 - 123.68),
)
"""Blue, green, red in 0..255, minus ImageNet's mean (``imagenet_utils``, mode "caffe")."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """One entry of :data:`BACKBONES`.

    Attributes:
        application: Its function in ``keras.applications``; "" for the MLP.
        smallest: Least side of its input in pixels.
        fine_tune_from: The layer from which on a second phase commonly trains it, for
            ``unfreeze_from``; "" means all of it.
        preprocessing: What its ImageNet weights expect; None where that is -1..1.
        has_alpha: Whether it has a width multiplier.
    """

    application: str
    smallest: int
    fine_tune_from: str
    preprocessing: Preprocessing | None = None
    has_alpha: bool = False


BACKBONES = {
    "mobilenet_v1": Backbone("MobileNet", 32, "conv_pad_12", has_alpha=True),
    "mobilenet_v2": Backbone("MobileNetV2", 32, "block_11_expand", has_alpha=True),
    "densenet121": Backbone("DenseNet121", 32, "conv5_block1_0_bn", TORCH),
    "inception_v3": Backbone("InceptionV3", 75, "mixed7"),
    "xception": Backbone("Xception", 71, "block12_sepconv1_act"),
    "resnet152v2": Backbone("ResNet152V2", 32, "conv5_block1_preact_bn"),
    "vgg16": Backbone("VGG16", 32, "block5_conv1", CAFFE),
    "mlp": Backbone("", 32, ""),
}
"""Name in a recipe -> backbone. ``mlp`` is the baseline: flattened pixels, two hidden layers."""


def build_backbone(name: str, size: int, alpha: float, weights: str | None) -> keras.Model:
    """A backbone: input (size, size, 3) RGB in -1..1, output a map of features (h, w, channels).

    Args:
        name: One of :data:`BACKBONES`.
        size: Input side in pixels, at least the backbone's smallest.
        alpha: Width multiplier, where it has one.
        weights: "imagenet", a weights file without top, or None for random.

    Raises:
        RecipeError: The weights cannot be downloaded or read, or are of another network.
    """
    backbone = BACKBONES[name]
    if not backbone.application:
        if weights is not None:
            raise RecipeError(
                f"start weights {weights}: backbone {name!r} has none; give --weights none"
            )
        return _mlp(size)
    from training.models.backbone import application

    options: dict[str, Any] = {"alpha": alpha} if backbone.has_alpha else {}
    plain = application(backbone.application, size, size, weights, **options)
    if backbone.preprocessing is None:
        return plain
    return _behind(backbone.preprocessing, plain, backbone.application, size)


def _behind(
    preprocessing: Preprocessing, plain: keras.Model, application_name: str, size: int
) -> keras.Model:
    """The same network behind its preprocessing.

    It is built anew on the preprocessed input and given the weights: a weights file can only
    be read into a network that has no further layers.
    """
    import keras
    import numpy as np

    from training.models.backbone import application

    pictures = keras.Input((size, size, 3))
    layer = keras.layers.Conv2D(3, 1, trainable=False, name=PREPROCESS)
    prepared = layer(pictures)
    kernel = np.array(preprocessing.matrix, np.float32).T.reshape(1, 1, 3, 3)
    layer.set_weights([kernel, np.array(preprocessing.offset, np.float32)])
    model = application(application_name, size, size, None, input_tensor=prepared)
    own = {id(weight) for weight in layer.weights}
    body = [weight for weight in model.weights if id(weight) not in own]
    for weight, value in zip(body, plain.get_weights(), strict=True):
        weight.assign(value)
    return model


def _mlp(size: int) -> keras.Model:
    """Flattened pixels and :data:`MLP_UNITS`, as a 1x1 map of features."""
    import keras
    from keras import layers

    pictures = keras.Input((size, size, 3))
    x = layers.Flatten(name="pixels")(pictures)
    for place, units in enumerate(MLP_UNITS, start=1):
        x = layers.Dense(units, name=f"dense_{place}")(x)
        x = layers.ReLU(6.0, name=f"dense_{place}_relu")(x)
    x = layers.Reshape((1, 1, MLP_UNITS[-1]), name="as_map")(x)
    return keras.Model(pictures, x, name="mlp")
