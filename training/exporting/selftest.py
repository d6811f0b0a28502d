"""Makes a bundle's self-test: pictures of the demo clip, and what the INT8 model says of them.

The clip ships with the device half and is rendered from a portrait in the public domain (see
:mod:`training.demo_clip`), so nobody's training photos travel with a model. Pictures go through
the device's own preprocessing: whole frames letterboxed for a detector; for a classifier the faces
that the shipped detector finds, cropped as its card says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge_app.demo import CLIP
from edge_app.domain import Image
from edge_app.errors import ExportError
from edge_app.settings import SourceSettings
from edge_app.sources import open_source
from edge_app.vision.bundle import MODELS_DIR, Card, card_path, load_bundle
from edge_app.vision.detector import BundleDetector
from edge_app.vision.geometry import letterbox, square_crop
from edge_app.vision.selftest import make, packed

EMPTY, BARE, UNDER_NOSE, WORN = 0.4, 3.0, 5.6, 8.2
"""Seconds of the clip: nobody, without a mask, with one under the nose, with one worn correctly."""

DETECTOR = "face_detector"
"""The shipped one finds the faces for a classifier."""


def with_self_test(card: Mapping[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    """Run a model on the pictures.

    Args:
        card: Its card; a self-test that it names already is replaced.
        content: The ``.tflite`` file.

    Returns:
        The card, which names the self-test's hash, and the content of ``NAME.selftest.npz``.

    Raises:
        BundleError: The device would refuse the bundle.
        ExportError: No face is found in the demo clip.
    """
    with TemporaryDirectory() as folder:
        model = Path(folder) / f"{card['name']}.tflite"
        model.write_bytes(content)
        card_path(model).write_text(json.dumps(card), encoding="utf-8")
        bundle = load_bundle(model, str(card["task"]))
        test = packed(make(bundle, list(pictures_for(bundle.card))))
    return {**card, "selftest": {"sha256": hashlib.sha256(test).hexdigest()}}, test


def pictures_for(card: Card) -> Iterator[Image]:
    """Pictures of the demo clip at a model's input."""
    if card.task == "detect":
        for frame in frames(EMPTY, WORN):
            yield letterbox(frame, card.input_width, card.input_height)[0]
        return
    detector = BundleDetector(load_bundle(MODELS_DIR / f"{DETECTOR}.tflite", "detect"))
    for frame in frames(BARE, UNDER_NOSE, WORN):
        faces = detector.detect(frame)
        if not faces:
            raise ExportError(f"{CLIP}: {DETECTOR} finds no face: a self-test needs one")
        yield square_crop(frame, faces[0].box, card.crop_margin, card.input_width)


def frames(*times: float) -> Iterator[Image]:
    """The clip's frames at these seconds, in ascending order."""
    wanted = list(times)
    with open_source(str(CLIP), SourceSettings()) as source:
        while wanted and (frame := source.read()) is not None:
            if frame.time >= wanted[0]:
                wanted.pop(0)
                yield frame.image
    if wanted:
        raise ExportError(f"{CLIP}: ends before second {wanted[0]:g}")
