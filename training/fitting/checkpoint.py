"""The numbers of a network, and of its optimizer, in a file and back.

Not by Keras' ``save_weights``: HDF5 tries once more to write what did not fit on a full disk
while Python ends, and crashes there, so that the run's error line would end in a
segmentation fault (seen with h5py 3.16). Here the file is whole in memory before it is written.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge_app.errors import RecipeError
from edge_app.recording import write_atomically


def save_checkpoint(path: Path, model: keras.Model) -> None:
    """Write every variable of a model, also those of its dropout layers and its optimizer.

    Args:
        path: A ``.npz`` file, replaced as a whole.
        model: The optimizer's variables are written if it was compiled with one.

    Raises:
        OutputError: The file cannot be written.
    """
    buffer = io.BytesIO()
    values = [keras.ops.convert_to_numpy(variable) for variable in _variables(model)]
    np.savez(buffer, allow_pickle=False, **{str(i): value for i, value in enumerate(values)})
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path, model: keras.Model) -> None:
    """Give a model, built and compiled as the saved one was, the values of a file.

    Raises:
        RecipeError: The file is missing or damaged, or of another network.
    """
    variables = _variables(model)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as saved:
            values = [saved[str(i)] for i in range(len(saved.files))]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RecipeError(f"{path}: cannot be read as weights: {error}") from None
    if [v.shape for v in values] != [tuple(v.shape) for v in variables]:
        raise RecipeError(f"{path}: holds the weights of another network; train in another folder")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _variables(model: keras.Model) -> list[Any]:
    optimizer = getattr(model, "optimizer", None)
    return [*model.variables, *(optimizer.variables if optimizer is not None else ())]
