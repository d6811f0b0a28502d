"""Grad-CAM: where in a picture a classifier saw what it says.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", arXiv:1610.02391. The channels of the last convolutional feature map are
weighted by the mean gradient of a class's logit with respect to them; what is positive in their
sum speaks for the class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Image
from edge_app.errors import UsageError

STRENGTH = 0.65
"""How much of the picture the colours hide where the map is at its maximum."""

_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
_POOLING = (keras.layers.AveragePooling2D, keras.layers.MaxPooling2D)
_GLOBAL_POOLING = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)

Map = NDArray[np.float32]
"""Height x width of the picture, 0..1: how much each place speaks for a class."""


class GradCam:
    """Explains the logits of a Keras classifier, whether its backbone is nested or flat.

    Args:
        model: Input float32 (1, H, W, 3) in -1..1, output logits (1, labels).

    Raises:
        UsageError: It has no convolutional feature map, or Keras does not run on TensorFlow.
    """

    def __init__(self, model: keras.Model) -> None:
        if keras.backend.backend() != "tensorflow":
            raise UsageError(
                f"Keras runs on {keras.backend.backend()}, Grad-CAM needs TensorFlow's gradients: "
                "set KERAS_BACKEND=tensorflow"
            )
        self._model = model
        self.layer = feature_layer(model)

    def maps(
        self, crop: Image, classes: Sequence[int] | None = None
    ) -> tuple[NDArray[np.float32], list[Map]]:
        """The logits of a crop, and a map for each class asked for.

        Args:
            crop: RGB uint8, the model's input size.
            classes: Indices of outputs; None: the most probable one.

        Returns:
            The logits (labels,) and the maps. A map is 0 everywhere where nothing speaks for its
            class, else its maximum is 1.
        """
        import tensorflow as tf

        picture = tf.constant(crop[None].astype(np.float32) / 127.5 - 1)
        with tf.GradientTape(persistent=True) as tape:
            with _watched(self.layer, tape) as seen:
                logits = self._model(picture, training=False)
            wanted = [int(np.argmax(logits[0]))] if classes is None else list(classes)
            scores = [logits[0, i] for i in wanted]
        features = seen[-1]
        found = [_map(features, tape.gradient(score, features)) for score in scores]
        height, width = crop.shape[:2]
        return np.asarray(logits[0]), [_enlarged(small, width, height) for small in found]


def feature_layer(model: keras.Model) -> Any:
    """The layer whose output is the last convolutional feature map.

    That is the last convolution before the features are pooled or flattened, or what normalises,
    adds up or activates its output.

    Raises:
        UsageError: There is none: the model has no convolution, or its input is so small that
            the last feature map is a single place.
    """
    layers = list(_leaves(model))
    for kinds in (_GLOBAL_POOLING, keras.layers.Flatten):
        ends = [i for i, layer in enumerate(layers) if isinstance(layer, kinds)]
        if ends:
            layers = layers[: ends[-1]]
            break
    last = max((i for i, la in enumerate(layers) if isinstance(la, _CONVOLUTIONS)), default=None)
    size = None if last is None else _size(layers[last])
    if last is None or size is None:
        raise UsageError(
            f"{model.name}: has no convolutional feature map of more than one place, so there is "
            "nothing that Grad-CAM could show; explain a convolutional model with a larger input"
        )
    same = [
        layer for layer in layers[last:] if _size(layer) == size and not isinstance(layer, _POOLING)
    ]
    return same[-1]


def overlay(crop: Image, heat: Map) -> Image:
    """A crop under its map: what speaks for the class is coloured, blue little to red most.

    Args:
        crop: RGB uint8, H x W x 3.
        heat: H x W, 0..1.

    Returns:
        RGB uint8 of the crop's size.
    """
    levels = np.rint(heat * 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    hidden = STRENGTH * heat[..., None]
    return np.asarray(np.rint(crop * (1 - hidden) + colours * hidden), np.uint8)


def _leaves(model: keras.Model) -> Iterator[Any]:
    """All layers in order; models inside the model are gone into."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _size(layer: Any) -> tuple[int, int] | None:
    """Height and width of a layer's feature map; None for anything but a map of many places."""
    if isinstance(layer, keras.layers.InputLayer):
        return None
    shape: tuple[Any, ...] = getattr(layer.output, "shape", ())
    if len(shape) != 4 or None in shape[1:3] or tuple(shape[1:3]) == (1, 1):
        return None
    _, height, width, _ = shape
    return int(height), int(width)


@contextmanager
def _watched(layer: Any, tape: Any) -> Iterator[list[Any]]:
    """While open, what the layer puts out is watched by the tape and kept.

    A model inside a model has a graph of its own, so that no model from the outer input to a layer
    inside can be built; looking on while the layer runs works for every architecture.
    """
    seen: list[Any] = []
    call = layer.call

    def watching(*args: Any, **kwargs: Any) -> Any:
        output = call(*args, **kwargs)
        tape.watch(output)
        seen.append(output)
        return output

    layer.call = watching
    try:
        yield seen
    finally:
        layer.call = call


def _map(features: Any, gradient: Any) -> Map:
    """The map at the resolution of the features: (1, h, w, channels) -> (h, w)."""
    weights = np.asarray(gradient)[0].mean(axis=(0, 1))
    heat = np.maximum(np.asarray(features)[0] @ weights, 0)
    top = float(heat.max())
    return np.asarray(heat / top if top > 0 else heat, np.float32)


def _enlarged(heat: Map, width: int, height: int) -> Map:
    smooth = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    top = float(smooth.max())
    return np.asarray(smooth / top if top > 0 else smooth, np.float32)
