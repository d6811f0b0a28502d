"""Heat maps for the ``try`` page, from the float model that a bundle was made of."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from edge_app.domain import Image

_ONE_AT_A_TIME = threading.Lock()
"""Grad-CAM looks into the running model, and the page has a thread for every visitor."""


class HeatMaps:
    """Grad-CAM of one float model.

    Args:
        model: A ``model.keras``.
    """

    def __init__(self, model: Path) -> None:
        import keras

        from training.evaluation.gradcam import GradCam

        self._grad_cam: Any = GradCam(keras.models.load_model(model, compile=False))

    def overlay(self, crop: Image, label: int) -> Image:
        """A crop, coloured where it speaks for a label.

        Args:
            crop: RGB uint8 in the model's input size.
            label: Index of the model's output.

        Returns:
            RGB uint8 of the crop's size.
        """
        from training.evaluation.gradcam import overlay

        with _ONE_AT_A_TIME:
            _, [heat] = self._grad_cam.maps(crop, [label])
        return overlay(crop, heat)
