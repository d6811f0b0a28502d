"""Downloads of ImageNet weights that are whole or not there at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STALLED_S = 60.0
"""A server that sends nothing for so many seconds has failed."""


@contextmanager
def whole_downloads() -> Iterator[None]:
    """Inside, a file that ``keras.utils.get_file`` downloads takes its name when it is whole.

    Keras 3.15 downloads into the file itself, takes any file of that name for a finished
    download, and knows no hash of MobileNet's weights: after a kill the half file would stay
    for ever. There is no public way to change that, so its ``urlretrieve`` is exchanged.
    """
    from keras.src.utils import file_utils

    original = file_utils.urlretrieve
    timeout = socket.getdefaulttimeout()

    def retrieve(url: str, filename: str, reporthook: Any = None) -> None:
        target = Path(filename)
        for left in target.parent.glob(f".{target.name}.partial-*"):  # by one that was killed
            left.unlink(missing_ok=True)
        partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
        try:
            original(url, partial, reporthook)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    file_utils.urlretrieve = retrieve
    socket.setdefaulttimeout(STALLED_S)
    try:
        yield
    finally:
        file_utils.urlretrieve = original
        socket.setdefaulttimeout(timeout)


def damaged_downloads() -> list[Path]:
    """Weights in Keras' folder that are no HDF5 file, or only a part of one."""
    import h5py
    from keras.src.backend import config

    damaged = []
    for path in sorted(Path(config.keras_home()).expanduser().glob("models/*.h5")):
        try:
            h5py.File(path, "r").close()
        except OSError:
            damaged.append(path)
    return damaged
