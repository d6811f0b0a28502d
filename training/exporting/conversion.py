"""A Keras model as TFLite, in each of the four number formats.

The file that ships is :attr:`Format.INT8`; the others show what it costs and saves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.exporting.input_conversion import by_real_numbers


class Format(StrEnum):
    """How a TFLite file holds its numbers.

    Attributes:
        FLOAT32: Weights and activations in 32 bits.
        FLOAT16: Weights stored in 16 bits, computed in 32.
        DYNAMIC: Weights in 8 bits, activations quantised while the model runs.
        INT8: Weights and activations in 8 bits, uint8 in and out.
    """

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    DYNAMIC = "dynamic"
    INT8 = "int8"


@contextmanager
def saved_model(model: Any) -> Iterator[str]:
    """A Keras model as a temporary SavedModel for one picture at a time.

    Args:
        model: One image input (None, height, width, 3), float in -1..1.

    Yields:
        The folder, gone when the block ends.
    """
    import keras

    _, height, width, channels = model.input_shape
    one_picture = keras.InputSpec(shape=(1, height, width, channels), dtype="float32", name="image")
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False, input_signature=[one_picture])
        yield folder


def convert(folder: str, wanted: Format, pictures: NDArray[np.uint8]) -> bytes:
    """The content of a ``.tflite`` file.

    Full-integer quantisation is per channel (Jacob et al. 2018, arXiv:1712.05877); the other
    formats keep a float32 input in -1..1.

    Args:
        folder: A SavedModel with float input in -1..1.
        wanted: The format.
        pictures: Calibration pictures uint8 (N, height, width, 3); only INT8 looks at them.
    """
    import tensorflow as tf

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for picture in pictures:
            yield [picture[None].astype(np.float32) / 127.5 - 1]

    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if wanted is not Format.FLOAT32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if wanted is Format.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if wanted is Format.INT8:
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
    content = bytes(converter.convert())
    return by_real_numbers(content) if wanted is Format.INT8 else content
