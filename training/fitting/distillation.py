"""Labels that trained classifiers, the teachers, have a say in.

Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network",
arXiv:1503.02531, with a temperature of 1: training on the mean of label and teachers' answer
has the gradient of the weighted sum of the two cross-entropies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from edge_app.errors import RecipeError
from edge_app.vision.classifier import softmax
from training.recipe import Recipe


class LabelledBatches(Protocol):
    """What draws pictures and labels, such as :class:`training.data.faces.FaceBatches`."""

    def batch(self, epoch: int, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Pictures (batch, height, width, 3) and labels (batch, labels)."""
        ...


class TaughtBatches:
    """Batches whose labels are mixed with what the teachers say of the same pictures.

    Args:
        batches: Draw the pictures and their labels.
        teachers: Models with the recipe's input and labels, which give logits; see
            :func:`load_teacher`.
        share: The teachers' part of a label, 0..1.
    """

    def __init__(
        self, batches: LabelledBatches, teachers: Sequence[keras.Model], share: float
    ) -> None:
        self._batches, self._teachers, self._share = batches, tuple(teachers), share

    def batch(self, epoch: int, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One batch of an epoch, both counted from 0; labels still add up to 1."""
        pictures, labels = self._batches.batch(epoch, index)
        answers = [softmax(teacher.predict_on_batch(pictures)) for teacher in self._teachers]
        taught = (1 - self._share) * labels + self._share * np.mean(answers, axis=0)
        return pictures, taught.astype(np.float32)


def load_teacher(path: Path, recipe: Recipe) -> keras.Model:
    """A trained classifier that a recipe may learn from.

    Raises:
        RecipeError: The file is not a Keras model, or its input or the number of its labels
            is not the recipe's.
    """
    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"--teachers {path}: cannot be read: {reason}") from None
    settings = recipe.model
    wanted = (None, settings.height, settings.width, 3), (None, len(recipe.labels))
    if (model.input_shape, model.output_shape) != wanted:
        raise RecipeError(
            f"--teachers {path}: makes {model.output_shape[-1]} labels of pictures "
            f"{model.input_shape[1:]}; {recipe.path} has {len(recipe.labels)} labels and "
            f"{wanted[0][1:]}"
        )
    return model
