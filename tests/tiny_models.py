"""Tiny real models (see tests/data/make_tiny.py) and pictures that they understand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from edge_app.domain import Image, MaskState
from edge_app.settings import Settings, replace_settings

COLOURS = {
    MaskState.WITHOUT_MASK: (1, 0, 0),
    MaskState.WITH_MASK: (0, 1, 0),
    MaskState.INCORRECT_MASK: (0, 0, 1),
    None: (1, 1, 1),
}

Paint = Callable[[Mapping[tuple[int, int], MaskState | None]], Image]


@pytest.fixture(scope="session")
def tiny(root: Path) -> Path:
    """The folder of the tiny bundles."""
    return root / "tests" / "data"


@pytest.fixture
def tiny_settings(tiny: Path) -> Settings:
    """Default settings with the tiny bundles and pretend pins."""
    return replace_settings(
        Settings(),
        {
            "detector.bundle": str(tiny / "tiny_detector.tflite"),
            "classifier.bundle": str(tiny / "tiny_classifier.tflite"),
            "indicator.pins": "mock",
        },
    )


@pytest.fixture(scope="session")
def paint() -> Paint:
    """Draws a 128x96 picture with faces, given by cell (column, row) and state.

    The tiny detector finds a 32-pixel face around each given cell of 8 pixels, the tiny
    classifier tells the state by its colour; None is a grey face, always uncertain.
    """

    def painted(faces: Mapping[tuple[int, int], MaskState | None]) -> Image:
        image = np.zeros((96, 128, 3), np.uint8)
        for (column, row), state in faces.items():
            x, y = column * 8, row * 8
            colour = np.array(COLOURS[state], np.uint8)
            strength = 80 if state is not None else 27
            image[max(0, y - 12) : y + 20, max(0, x - 12) : x + 20] = colour * strength
            image[y : y + 8, x : x + 8] = colour * 255
        return image

    return painted
