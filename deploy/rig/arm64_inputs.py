"""The pictures on which the models of two processors are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_app.demo import CLIP
from edge_app.domain import Image
from edge_app.settings import Settings
from edge_app.sources import open_source
from edge_app.vision.bundle import load_bundle
from edge_app.vision.detector import BundleDetector
from edge_app.vision.geometry import letterbox, square_crop

EVERY = 12
"""Frames of the demo clip between two that are taken: about two a second."""

NOISE = 4
"""Inputs of random numbers for each model, beside the extremes: they reach what pictures do not."""


def write_inputs(path: Path) -> int:
    """Write the inputs of both shipped models: frames and faces of the demo clip, noise, extremes.

    They are made here, once: another OpenCV decodes and scales a little differently, and it is
    the models that are compared.

    Returns:
        How many there are.
    """
    settings = Settings()
    finder = BundleDetector(load_bundle(settings.detector.bundle, "detect"))
    judge = load_bundle(settings.classifier.bundle, "classify").card
    frames: list[Image] = []
    crops: list[Image] = []
    with open_source(str(CLIP), settings.source) as source:
        while (frame := source.read()) is not None:
            if frame.index % EVERY:
                continue
            card = finder.bundle.card
            frames.append(letterbox(frame.image, card.input_width, card.input_height)[0])
            crops += [
                square_crop(frame.image, face.box, judge.crop_margin, judge.input_width)
                for face in finder.detect(frame.image)
            ]
    arrays: dict[str, Image] = {}
    models = (
        (settings.detector.bundle, "detect", frames),
        (settings.classifier.bundle, "classify", crops),
    )
    for name, task, pictures in models:
        if not pictures:
            raise ValueError(f"{CLIP}: nothing in it for {name}")
        made = [*pictures, *_made_up(pictures[0].shape)]
        arrays |= {f"{name}:{task}/{at:03}": picture for at, picture in enumerate(made)}
    np.savez(path, **arrays)
    return len(arrays)


def _made_up(shape: tuple[int, ...]) -> list[Image]:
    random = np.random.default_rng(5)
    noise = [random.integers(0, 256, shape, np.uint8) for _ in range(NOISE)]
    return [np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), *noise]


def one_face() -> Image:
    """A frame of the demo clip with one person in view, at its own size.

    Raises:
        ValueError: There is none.
    """
    settings = Settings()
    finder = BundleDetector(load_bundle(settings.detector.bundle, "detect"))
    with open_source(str(CLIP), settings.source) as source:
        while (frame := source.read()) is not None:
            if len(finder.detect(frame.image)) == 1:
                return frame.image
    raise ValueError(f"{CLIP}: no frame with one face")
