"""The public models that ours are compared with, behind the device's own interfaces.

Nothing of them ships; their files are looked for in a folder given by ``--peers``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Box, Face, Image, MaskState, Verdict
from edge_app.errors import BundleNotFoundError
from edge_app.vision.geometry import Boxes, nms, rectangles, resize, square_crop
from edge_app.vision.interpreter import Interpreter, load_interpreter
from edge_app.vision.yunet import YuNet

YUNET_FILE = "yunet_2026may.onnx"
AIZOO_FILE = "aizoo_ssd_260_float.tflite"
CORAL_FILE = "coral_mask_mobilenetv2_int8.tflite"

AIZOO_NMS = 0.4
"""As in the authors' code (github AIZOOTech/FaceMaskDetection)."""

AIZOO_THRESHOLD = 0.5
"""As in the authors' code."""

AIZOO_LEVELS = (
    (33, (0.04, 0.056)),
    (17, (0.08, 0.11)),
    (9, (0.16, 0.22)),
    (5, (0.32, 0.45)),
    (3, (0.64, 0.72)),
)
"""Cells per side and the two anchor sizes, as fractions of the picture, level by level."""

AIZOO_RATIOS = (0.62, 0.42)
"""Width to height of the further anchors, which have the level's first size."""

AIZOO_VARIANCES = (0.1, 0.2)
"""What one unit of a centre code and of a size code stands for."""

CORAL_MARGIN = 0.0
"""Crop margin that suits it best on training pictures of kaggle853; none is documented."""


def yunet(folder: Path, width: int, height: int, score_threshold: float) -> YuNet:
    """OpenCV's face detector, which a kiosk may also use, on pictures of a given size."""
    return YuNet(_file(folder, YUNET_FILE), score_threshold, width, height)


class Aizoo:
    """AIZOO's one-stage face and mask detector: an SSD on 260x260 pixels, two classes."""

    STATES = (MaskState.WITH_MASK, MaskState.WITHOUT_MASK)

    def __init__(self, folder: Path, score_threshold: float = AIZOO_THRESHOLD) -> None:
        self.score_threshold = score_threshold
        self.interpreter = load_interpreter(_file(folder, AIZOO_FILE).read_bytes())
        self._anchors = aizoo_anchors()

    def prepare(self, image: Image) -> NDArray[np.float32]:
        """The network's input: the picture stretched to 260x260, float32 in 0..1."""
        _, height, width, _ = self.interpreter.input.shape
        return resize(image, width, height)[None].astype(np.float32) / np.float32(255)

    def detect(self, image: Image) -> list[Face]:
        """Faces with verdicts in pixels of ``image``, best score first."""
        codes, scores = (output[0] for output in self.interpreter.run_real(self.prepare(image)))
        best = scores.max(axis=1)
        chosen = np.flatnonzero(best >= self.score_threshold)
        height, width = image.shape[:2]
        boxes = aizoo_decode(codes[chosen], self._anchors[chosen])
        boxes *= np.array([width, height, width, height], np.float32)
        keep = nms(rectangles(boxes).tolist(), best[chosen].tolist(), AIZOO_NMS)
        return [
            Face(_box(boxes[i]), float(best[chosen[i]]), _verdict(self.STATES, scores[chosen[i]]))
            for i in keep
        ]


class Coral:
    """A mask / no-mask MobileNetV2 1.0 at 224x224 as most demos ship it, INT8."""

    STATES = (MaskState.WITH_MASK, MaskState.WITHOUT_MASK)

    def __init__(self, folder: Path) -> None:
        self.interpreter: Interpreter = load_interpreter(_file(folder, CORAL_FILE).read_bytes())

    def prepare(self, image: Image, box: Box) -> NDArray[np.uint8]:
        """The network's input: the square crop around the face."""
        return square_crop(image, box, CORAL_MARGIN, self.interpreter.input.shape[1])[None]

    def classify(self, image: Image, box: Box) -> Verdict:
        """Judge the face at ``box`` (pixels of ``image``)."""
        return _verdict(self.STATES, self.interpreter.run_real(self.prepare(image, box))[0][0])


def aizoo_anchors() -> NDArray[np.float32]:
    """Anchors (5972, 4): centre x, centre y, width, height as fractions of the picture."""
    levels = []
    for cells, sizes in AIZOO_LEVELS:
        centres = (np.arange(cells) + 0.5) / cells
        ys, xs = np.meshgrid(centres, centres, indexing="ij")
        shapes = [(size, size) for size in sizes]
        shapes += [(sizes[0] * r**0.5, sizes[0] / r**0.5) for r in AIZOO_RATIOS]
        level = np.empty((cells, cells, len(shapes), 4))
        level[..., 0], level[..., 1] = xs[..., None], ys[..., None]
        level[..., 2:] = shapes
        levels.append(level.reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def aizoo_decode(codes: NDArray[np.float32], anchors: NDArray[np.float32]) -> Boxes:
    """SSD codes (N, 4) of anchors (N, 4) -> boxes (N, 4) as fractions of the picture."""
    of_centre, of_size = AIZOO_VARIANCES
    centres = codes[:, :2] * of_centre * anchors[:, 2:] + anchors[:, :2]
    half = np.exp(codes[:, 2:] * of_size) * anchors[:, 2:] / 2
    return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)


def _verdict(states: tuple[MaskState, ...], scores: NDArray[np.float32]) -> Verdict:
    """The better of the states that the model knows; it has no way to be uncertain."""
    probabilities = {state: float(p) for state, p in zip(states, scores, strict=True)}
    return Verdict(probabilities, states[int(np.argmax(scores))])


def _box(corners: NDArray[np.float32]) -> Box:
    return Box(*(float(value) for value in corners))


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise BundleNotFoundError(f"{path}: no such model; give the folder of peers by --peers")
    return path
