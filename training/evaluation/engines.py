"""A float Keras model in the place of a bundle's INT8 interpreter.

The card, the preprocessing and the decoding stay the device's; only the network differs.
So what separates the two figures is quantisation and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edge_app.errors import BundleError, BundleNotFoundError
from edge_app.vision.bundle import Bundle, Card
from edge_app.vision.interpreter import Interpreter, Tensor


class KerasEngine:
    """Runs a Keras model (float32 input in -1..1) like an interpreter with uint8 input."""

    def __init__(self, model: Any, runtime: str) -> None:
        self.model = model
        self.runtime = runtime
        outputs = model.outputs
        self.outputs = tuple(
            Tensor(i, str(output.name), (1, *output.shape[1:]), "float32", 0.0, 0)
            for i, output in enumerate(outputs)
        )

    def run(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """As :meth:`run_real`: what a float model stores is the real value."""
        return self.run_real(batch)

    def run_real(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Run once on pictures uint8 (1, H, W, 3); outputs in the order of :attr:`outputs`."""
        result = self.model.predict_on_batch(batch.astype(np.float32) / 127.5 - 1)
        return list(result) if isinstance(result, list | tuple) else [result]


def load_float(card: Card, path: Path) -> Bundle:
    """Open a ``.keras`` file to be used with an INT8 bundle's card.

    Raises:
        BundleNotFoundError: The file is missing.
        BundleError: It cannot be read, or its shapes are not those of the card.
    """
    if not path.is_file():
        raise BundleNotFoundError(f"{path}: no such Keras model")
    import keras
    import tensorflow as tf

    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise BundleError(f"{path}: Keras cannot read it: {str(error).splitlines()[0]}") from None
    size, wanted = tuple(model.input_shape[1:]), (card.input_height, card.input_width, 3)
    if size != wanted:
        raise BundleError(f"{path}: input is {size}, the card of {card.name} says {wanted}")
    engine = KerasEngine(model, f"tensorflow {tf.__version__}")
    expected: list[tuple[int, ...]] = [(1, len(card.labels))]
    if card.task == "detect":
        cells = sum((card.input_height // s) * (card.input_width // s) for s in card.strides)
        expected = [(1, cells, 1), (1, cells, 4)]
    found = sorted(output.shape for output in engine.outputs)
    if found != sorted(expected):
        raise BundleError(f"{path}: outputs are {found}, the card of {card.name} says {expected}")
    return Bundle(card, path, cast(Interpreter, engine))
