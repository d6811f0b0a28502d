"""Heat maps for the ``try`` page, from the float model that a bundle was made of."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

from edge_app.domain import Image
from edge_app.vision.bundle import Card

_ONE_AT_A_TIME = threading.Lock()
"""Grad-CAM looks into the running model, and the page has a thread for every visitor."""


class HeatMaps:
    """Grad-CAM of one float model.

    Args:
        card: Of the bundle that the model was exported to.
        model: A ``model.keras``.
        written: When the file was written: another time is another model to a cache.

    Raises:
        BundleError: The file is damaged, or its shapes are not those of the card.
    """

    def __init__(self, card: Card, model: Path, written: float) -> None:
        from training.evaluation.engines import KerasEngine, load_float
        from training.evaluation.gradcam import GradCam

        del written
        engine = cast(KerasEngine, load_float(card, model).interpreter)
        self._grad_cam: Any = GradCam(engine.model)

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
