"""Five facial points by YuNet, for augmentations that draw on faces.

YuNet: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023, through
``cv2.FaceDetectorYN``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_app.domain import Box, Image
from edge_app.errors import UsageError
from edge_app.quiet import quieten_opencv
from edge_app.vision.geometry import iou, square_crop
from training.data.store import FaceRecord, Point

MIN_SIDE = 24.0
"""Faces with a shorter side (original pixels) show no reliable points."""

REGION_SIZE = 224
"""Side of YuNet's input; a multiple of its largest stride, 32."""

REGION_MARGIN = 0.8
"""The region is this much wider than the face, which is then about 124 pixels."""

MIN_SCORE = 0.3
"""Low, for we know that a face is there; the overlap decides."""

MIN_IOU = 0.4
"""A detection must overlap the known box by this much to be taken for the same face."""

NMS_IOU, TOP_K = 0.3, 50


class Landmarker:
    """Finds the five points of a face whose box is known. Not safe for use by two threads."""

    def __init__(self, model: Path) -> None:
        """Open YuNet.

        Raises:
            UsageError: The file is missing or not a model that OpenCV can read.
        """
        if not model.is_file():
            raise UsageError(f"--landmarks {model}: no such file")
        quieten_opencv()  # every load warns that this engine has no targets to choose from
        try:
            self._net = cv2.FaceDetectorYN.create(
                str(model), "", (REGION_SIZE, REGION_SIZE), MIN_SCORE, NMS_IOU, TOP_K
            )
        except cv2.error as error:
            reason = " ".join(error.err.split())
            raise UsageError(f"--landmarks {model}: OpenCV cannot read it: {reason}") from None

    def mark(self, image: Image, face: FaceRecord) -> FaceRecord:
        """The face with its points in pixels of ``image``, or as it was when none are found."""
        if face.label is None or face.box.short_side < MIN_SIDE:
            return face
        points = self.find(image, face.box)
        return face if points is None else replace(face, landmarks=points)

    def find(self, image: Image, box: Box) -> tuple[Point, ...] | None:
        """The points of the face at ``box``, or None.

        Returns:
            Right eye, left eye, nose tip, right and left mouth corner, as the subject has
            them, in pixels of ``image``.
        """
        region = square_crop(image, box, REGION_MARGIN, REGION_SIZE)
        rows: Any = self._net.detect(np.ascontiguousarray(region[:, :, ::-1]))[1]
        if rows is None:
            return None
        # square_crop rounds the square to whole pixels; the same rounding is undone here.
        side = max(1, round((1 + REGION_MARGIN) * max(box.width, box.height)))
        cx, cy = box.centre
        corner = np.array([round(cx - side / 2), round(cy - side / 2)], np.float64)
        scale = side / REGION_SIZE
        found = np.asarray(rows, np.float64)
        top_left = found[:, 0:2] * scale + corner
        boxes = np.concatenate([top_left, top_left + found[:, 2:4] * scale], axis=1)
        overlaps = iou(boxes.astype(np.float32), np.array([box.as_tuple()], np.float32))[:, 0]
        best = int(np.argmax(overlaps))
        if overlaps[best] < MIN_IOU:
            return None
        points = found[best, 4:14].reshape(5, 2) * scale + corner
        return tuple((float(x), float(y)) for x, y in points)
