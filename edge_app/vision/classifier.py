"""The mask classifier: square crop, INT8 model, calibrated softmax, confidence floor."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Box, Image, Verdict
from edge_app.vision.bundle import Bundle
from edge_app.vision.geometry import square_crop


class Classifier:
    """Runs a ``classify`` bundle on one face at a time.

    The model gives logits (1, labels); the card's temperature turns them into calibrated
    probabilities (Guo et al. 2017, "On Calibration of Modern Neural Networks").
    """

    def __init__(self, bundle: Bundle, confidence_floor: float | None = None) -> None:
        self.bundle = bundle
        card = bundle.card
        self.confidence_floor = (
            card.confidence_floor if confidence_floor is None else confidence_floor
        )

    def classify(self, image: Image, box: Box) -> Verdict:
        """Judge the face at ``box`` (pixels of ``image``)."""
        card = self.bundle.card
        return self.judge(square_crop(image, box, card.crop_margin, card.input_width))

    def judge(self, crop: Image) -> Verdict:
        """Judge a crop that already has the model's input size."""
        card, interpreter = self.bundle.card, self.bundle.interpreter
        stored: list[float] = interpreter.run(crop[None])[0][0].tolist()
        # softmax() of the dequantised logits. For three numbers plain Python is faster than arrays;
        # the zero point, which is common to all, cancels out.
        unit = (interpreter.outputs[0].scale or 1.0) / card.temperature
        highest = max(stored)
        powers = [math.exp((value - highest) * unit) for value in stored]
        total = sum(powers)
        probabilities = {
            label: power / total for label, power in zip(card.labels, powers, strict=True)
        }
        best = card.labels[stored.index(highest)]
        certain = probabilities[best] >= self.confidence_floor
        return Verdict(probabilities, best if certain else None)


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities along the last axis of logits divided by the temperature."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
