"""One network of keras.applications without its top, with start weights or one clear error."""

from __future__ import annotations

import warnings
from http.client import HTTPException
from typing import Any

import keras

from edge_app.errors import RecipeError
from training.models.download import damaged_downloads, whole_downloads

BATCH_NORM_MOMENTUM = 0.99
"""How slowly the statistics that inference uses follow the batches.

Keras builds MobileNetV2 with 0.999, made for hundreds of thousands of steps: in a run of a few
thousand the statistics would lag whole epochs behind the weights, and validation with them.
"""


def mobilenet_v2(width: int, height: int, alpha: float, weights: str | None) -> keras.Model:
    """MobileNetV2 without its top, input (height, width, 3) in -1..1.

    Args:
        width: Input width in pixels.
        height: Input height in pixels.
        alpha: Width multiplier.
        weights: "imagenet", a weights file without top, or None for random.

    Raises:
        RecipeError: The weights cannot be downloaded or read, or are of another network.
    """
    return application("MobileNetV2", width, height, weights, alpha=alpha)


def application(
    name: str, width: int, height: int, weights: str | None, **options: Any
) -> keras.Model:
    """A network of ``keras.applications`` without its top.

    Args:
        name: Its function there, ``DenseNet121`` say.
        width: Input width in pixels.
        height: Input height in pixels.
        weights: "imagenet", a weights file without top, or None for random.
        options: Further arguments of that function, ``alpha`` say.

    Raises:
        RecipeError: The weights cannot be downloaded or read, or are of another network.
    """
    with warnings.catch_warnings():
        # Keras only warns of layers that the file does not have: that is another network.
        warnings.filterwarnings("error", "Skipping nested container", UserWarning)
        try:
            with whole_downloads():
                model = getattr(keras.applications, name)(
                    input_shape=(height, width, 3), include_top=False, weights=weights, **options
                )
        except Exception as error:  # Keras wraps a failed download in a bare Exception
            reason = _reason(error) or _reason(error.__context__)
            if weights is None or reason is None:
                raise
            if weights == "imagenet" and (damaged := damaged_downloads()):
                reason += f"; damaged, so remove it: {', '.join(map(str, damaged))}"
            called = " ".join([name, *(str(options[key]) for key in ("alpha",) if key in options)])
            raise RecipeError(
                f"start weights {weights}: cannot be used for {called} without top: {reason}"
            ) from error
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return model


def _reason(error: BaseException | None) -> str | None:
    """What is wrong with start weights, in one line; None for an error that is not theirs."""
    if isinstance(error, UserWarning):
        return "they are of another network"
    if isinstance(error, (OSError, ValueError, HTTPException)):
        return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
    return None
