"""Faces for pictures that only have a label: a teacher's boxes, a detector's, or none."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge_app.domain import Box, Image, MaskState
from edge_app.errors import DatasetError
from edge_app.vision.detector import Detector
from training.data.store import FaceRecord

KEEP_SCORE = 0.6
"""Machine-made boxes from this score on are kept as faces for the detector to learn."""

FRAME_PADDING = 0.25
"""Border around a picture before detection, as a fraction of each side: without it a face
that fills the frame is missed."""


@dataclass(frozen=True, slots=True)
class Found:
    """A machine-made box in pixels of its picture and its score in 0..1."""

    box: Box
    score: float


def read_boxes(path: Path) -> dict[str, list[Found]]:
    """Read ``{"dataset/LABEL/file.jpg": [[x, y, width, height, score], ...]}``.

    Raises:
        DatasetError: The file is missing, not JSON, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DatasetError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise DatasetError(f"{path}: must map picture names to lists of boxes")
    return {name: [_found(path, name, row) for row in rows] for name, rows in content.items()}


def detect_boxes(detector: Detector, image: Image) -> list[Found]:
    """Faces that a detector finds; boxes may stick out of the picture."""
    height, width = image.shape[:2]
    dx, dy = round(width * FRAME_PADDING), round(height * FRAME_PADDING)
    padded = cv2.copyMakeBorder(image, dy, dy, dx, dx, cv2.BORDER_REPLICATE)
    found = []
    for face in detector.detect(padded):  # type: ignore[arg-type]
        x0, y0, x1, y1 = face.box.as_tuple()
        found.append(Found(Box(x0 - dx, y0 - dy, x1 - dx, y1 - dy), face.score))
    return found


def labelled_faces(
    label: MaskState, found: Sequence[Found], origin: str, width: int, height: int
) -> list[FaceRecord]:
    """Decide which face a picture's label is about.

    The label goes to the dominant box (score times the square root of the area); the
    others stay without one, from :data:`KEEP_SCORE` on. With no box at all the whole
    picture is taken for the face.

    Args:
        label: The picture's label.
        found: Boxes in pixels of the picture.
        origin: Who found them: ``teacher`` or ``detector``.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.

    Returns:
        The labelled face first, then the others.
    """
    inside = [
        item
        for item in found
        if item.box.x1 > 0 and item.box.y1 > 0 and item.box.x0 < width and item.box.y0 < height
    ]
    if not inside:
        return [FaceRecord(Box(0.0, 0.0, float(width), float(height)), label, origin="whole")]
    best = max(inside, key=lambda item: item.score * math.sqrt(item.box.area))
    faces = [FaceRecord(best.box, label, origin=origin, score=best.score)]
    faces += [
        FaceRecord(item.box, None, origin=origin, score=item.score)
        for item in inside
        if item is not best and item.score >= KEEP_SCORE
    ]
    return faces


def central_square(label: MaskState, width: int, height: int) -> FaceRecord:
    """The largest centred square, when there is nobody to ask where the face is."""
    side = min(width, height)
    x0, y0 = (width - side) / 2, (height - side) / 2
    return FaceRecord(Box(x0, y0, x0 + side, y0 + side), label, origin="whole")


def _found(path: Path, name: str, row: object) -> Found:
    try:
        x, y, width, height, score = (float(value) for value in row)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        reason = f"{row!r} is not [x, y, width, height, score]"
        raise DatasetError(f"{path}: {name}: {reason}") from None
    finite = all(math.isfinite(value) for value in (x, y, width, height))
    if not finite or width <= 0 or height <= 0 or not 0 <= score <= 1:
        raise DatasetError(f"{path}: {name}: {row!r} has an empty box or a score outside 0..1")
    return Found(Box(x, y, x + width, y + height), score)
