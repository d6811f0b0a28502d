"""The MobileNetV2 backbone that both models stand on."""

from __future__ import annotations

import warnings

import keras

from edge_app.errors import RecipeError

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
    with warnings.catch_warnings():
        # Keras only warns of layers that the file does not have: that is another network.
        warnings.filterwarnings("error", "Skipping nested container", UserWarning)
        try:
            model = keras.applications.MobileNetV2(
                input_shape=(height, width, 3), alpha=alpha, include_top=False, weights=weights
            )
        except Exception as error:  # Keras wraps a failed download in a bare Exception
            reason = _reason(error) or _reason(error.__context__)
            if weights is None or reason is None:
                raise
            raise RecipeError(
                f"start weights {weights}: cannot be used for MobileNetV2 {alpha} without top: "
                f"{reason}"
            ) from error
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return model


def _reason(error: BaseException | None) -> str | None:
    """What is wrong with start weights, in one line; None for an error that is not theirs."""
    if isinstance(error, UserWarning):
        return "they are of another network"
    if isinstance(error, (OSError, ValueError)):
        return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
    return None
