"""The second face detector: YuNet through OpenCV, for whoever supplies its ``.onnx`` file.

Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research
2023. Its model does not ship with the kiosk; OpenCV's model zoo has it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from edge_app.domain import Face, Image
from edge_app.errors import BundleError, BundleNotFoundError
from edge_app.quiet import quieten_opencv
from edge_app.vision.geometry import letterbox

YUNET_SUFFIX = ".onnx"
"""A detector whose name ends so is YuNet; every other one is a bundle."""

INPUT_WIDTH, INPUT_HEIGHT = 320, 240
"""Pictures are letterboxed to this size: faces from about 16 pixels there are found."""

SCORE_THRESHOLD = 0.6
"""Of OpenCV's own demo for this model; OpenCV's default is 0.9."""

NMS_IOU = 0.3
"""OpenCV's default for ``FaceDetectorYN``."""

CANDIDATES = 5000
"""OpenCV's default for ``FaceDetectorYN``."""

SCORE = 14
"""Column of the score; before it lie the box and five facial points."""


class YuNet:
    """Finds faces on pictures letterboxed to a fixed size.

    Args:
        model: The ``.onnx`` file.
        score_threshold: Detections below this score are dropped; None is
            :data:`SCORE_THRESHOLD`.
        width: Of the network's input in pixels.
        height: Of the network's input in pixels.

    Raises:
        BundleNotFoundError: There is no such file.
        BundleError: OpenCV cannot read it as YuNet.
    """

    def __init__(
        self,
        model: Path,
        score_threshold: float | None = None,
        width: int = INPUT_WIDTH,
        height: int = INPUT_HEIGHT,
    ) -> None:
        self.path = model
        self._size = (width, height)
        threshold = SCORE_THRESHOLD if score_threshold is None else score_threshold
        if not model.is_file():
            raise BundleNotFoundError(f"no YuNet model at {model}: OpenCV's model zoo has it")
        quieten_opencv()  # every load warns that this engine has no targets to choose from
        try:
            self._engine = cv2.FaceDetectorYN.create(
                str(model), "", self._size, threshold, NMS_IOU, CANDIDATES
            )
            self.detect(np.zeros((height, width, 3), np.uint8))  # another network fails only here
        except cv2.error as error:
            reason = " ".join(error.err.split())
            raise BundleError(f"{model}: OpenCV cannot run it as YuNet: {reason}") from None

    def detect(self, image: Image) -> list[Face]:
        """Faces in pixels of ``image``, best score first."""
        canvas, mapping = letterbox(image, *self._size)
        _, rows = self._engine.detect(cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))
        if rows is None:
            return []
        found = np.asarray(rows, np.float32)
        found = found[np.argsort(-found[:, SCORE], kind="stable")]
        height, width = image.shape[:2]
        faces = []
        for row in found.tolist():
            box = mapping.to_source(*row[:4]).within(width, height)
            if box.short_side >= 1:
                faces.append(Face(box, row[SCORE]))
        return faces


def is_yunet(name: str) -> bool:
    """Whether a detector's name in the settings means YuNet rather than a bundle."""
    return Path(name).suffix.lower() == YUNET_SUFFIX


def model_hash(model: Path) -> str:
    """SHA-256 of a YuNet file, for reports.

    Raises:
        BundleNotFoundError: There is no such file.
        BundleError: It cannot be read.
    """
    try:
        return hashlib.sha256(model.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise BundleNotFoundError(f"no YuNet model at {model}") from None
    except OSError as error:
        raise BundleError(f"{model}: cannot be read: {error.strerror}") from None
