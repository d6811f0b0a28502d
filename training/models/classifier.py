"""The mask classifier: a backbone, global average, perhaps a hidden layer, dropout, logits."""

from __future__ import annotations

import difflib

import keras
from keras import layers

from edge_app.errors import RecipeError
from training.models.backbones import PREPROCESS, build_backbone

HEAD = "logits"
"""Name of the last layer; the head is everything after the backbone's pooling."""

HIDDEN = "hidden"
"""Name of the head's hidden layer, where it has one."""

SUGGESTIONS = 5
"""So many layer names are offered in place of one that does not exist."""


def build_classifier(
    size: int,
    alpha: float,
    labels: int,
    dropout: float,
    weights: str | None,
    backbone: str = "mobilenet_v2",
    dense: int = 0,
) -> keras.Model:
    """The model: input (size, size, 3) in -1..1, output logits (labels,).

    The head's layers are 1x1 convolutions rather than dense layers: they compute the same, but
    convolutions are quantised per channel in every TFLite runtime.

    Args:
        size: Input side in pixels.
        alpha: Width multiplier, for a backbone that has one.
        labels: Number of classes.
        dropout: Dropped fraction before the last layer.
        weights: "imagenet", a weights file without top, or None for random.
        backbone: One of :data:`training.models.backbones.BACKBONES`.
        dense: Units of a hidden layer with ReLU6 before the dropout, 0 for none.

    Raises:
        RecipeError: The weights cannot be used.
    """
    base = build_backbone(backbone, size, alpha, weights)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(base.output)
    if dense:
        x = layers.Conv2D(dense, 1, name=HIDDEN)(x)
        x = layers.ReLU(6.0, name=f"{HIDDEN}_relu")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Conv2D(labels, 1, name=HEAD)(x)
    return keras.Model(base.input, layers.Flatten(name="flat")(x), name="mask_classifier")


def freeze_backbone(model: keras.Model, frozen: bool, unfreeze_from: str = "") -> None:
    """Train only the head (frozen), the backbone from a layer on too, or everything.

    A frozen batch norm layer also keeps its statistics: Keras runs it in inference mode. One
    that is trained follows the batches.

    Args:
        model: From :func:`build_classifier`.
        frozen: Whether all of the backbone keeps its weights.
        unfreeze_from: In the order of ``model.layers``, the first layer of the backbone that is
            trained; "" means all of it.

    Raises:
        RecipeError: The backbone has no such layer.
    """
    names = [layer.name for layer in model.layers]
    first = _place(names, unfreeze_from) if unfreeze_from else 0
    for place, layer in enumerate(model.layers):
        in_head = layer.name in (HEAD, HIDDEN)
        trained = in_head or (not frozen and place >= first)
        layer.trainable = trained and layer.name != PREPROCESS


def _place(names: list[str], wanted: str) -> int:
    backbone = names[: names.index("pool")]
    if wanted in backbone:
        return backbone.index(wanted)
    near = difflib.get_close_matches(wanted, backbone, SUGGESTIONS, cutoff=0.0)
    raise RecipeError(
        f"unfreeze_from = {wanted!r} is no layer of the backbone; "
        f"the nearest names: {', '.join(near)}"
    )
