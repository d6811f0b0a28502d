"""The mask classifier: MobileNetV2, global average, dropout, logits."""

from __future__ import annotations

import keras
from keras import layers

from training.models.backbone import mobilenet_v2

HEAD = "logits"
"""Name of the last layer; the head is everything after the backbone's pooling."""


def build_classifier(
    size: int, alpha: float, labels: int, dropout: float, weights: str | None
) -> keras.Model:
    """The model: input (size, size, 3) in -1..1, output logits (labels,).

    The last layer is a 1x1 convolution rather than a dense layer: it computes the same, but
    convolutions are quantised per channel in every TFLite runtime.

    Args:
        size: Input side in pixels.
        alpha: MobileNetV2 width multiplier.
        labels: Number of classes.
        dropout: Dropped fraction before the last layer.
        weights: "imagenet", a weights file without top, or None for random.

    Raises:
        RecipeError: The weights cannot be used.
    """
    base = mobilenet_v2(size, size, alpha, weights)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(base.output)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Conv2D(labels, 1, name=HEAD)(x)
    return keras.Model(base.input, layers.Flatten(name="flat")(x), name="mask_classifier")


def freeze_backbone(model: keras.Model, frozen: bool) -> None:
    """Train only the head (frozen), or everything including batch norm statistics.

    Frozen batch norm layers also keep their statistics: Keras runs them in inference mode.
    """
    for layer in model.layers:
        layer.trainable = not frozen or layer.name == HEAD
