"""Small data sets made on the spot: smooth random pictures, so that hashes mean something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.domain import Image

Photo = Callable[..., Image]
Save = Callable[[Path, Image], Path]


@pytest.fixture(scope="session")
def photo() -> Photo:
    """``photo(seed, width, height)``: an RGB picture unlike that of any other seed."""

    def make(seed: int, width: int = 120, height: int = 90) -> Image:
        blobs = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
        return np.asarray(cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC))

    return make


@pytest.fixture(scope="session")
def save() -> Save:
    """``save(path, image)`` writes an RGB picture, making its folders; returns the path."""

    def write(path: Path, image: Image) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image[:, :, ::-1])
        return path

    return write
