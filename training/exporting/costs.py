"""What a network costs, known without training it."""

from __future__ import annotations

from functools import cache

import numpy as np

from training.exporting.conversion import Format, convert, saved_model
from training.exporting.flops import multiply_adds
from training.models.classifier import build_classifier
from training.recipe import Recipe


def untrained_multiply_adds(recipe: Recipe) -> int:
    """Multiply-adds of one inference of a classifier recipe's network, with random weights.

    Raises:
        ExportError: It holds an operator that cannot be counted.
    """
    model = recipe.model
    return _counted(model.backbone, model.width, model.alpha, model.dense, len(recipe.labels))


@cache
def _counted(backbone: str, size: int, alpha: float, dense: int, labels: int) -> int:
    import keras

    network = build_classifier(size, alpha, labels, 0.0, None, backbone, dense)
    none = np.empty((0, size, size, 3), np.uint8)
    with saved_model(network) as folder:
        count = multiply_adds(convert(folder, Format.FLOAT32, none))
    keras.backend.clear_session()
    return count
