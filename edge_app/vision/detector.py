"""The face detector: letterbox, INT8 model, decode, non-maximum suppression."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Face, Image
from edge_app.errors import BundleError
from edge_app.vision.bundle import Bundle
from edge_app.vision.geometry import Boxes, letterbox, nms
from edge_app.vision.interpreter import dequantize, quantize

BASE_SIZE = 4.0
"""Box size, in strides, that a size code of 0 stands for."""

CODE_GAIN = 0.5
"""One unit of a box code moves the centre by this many strides, and scales the size by
exp of it; the codes lie in -3..3, so a centre can lie 1.5 strides off its cell."""

ROUNDING = 1e-6
"""A stored score so little below the threshold is the threshold itself."""

MAX_CANDIDATES = 300
"""Boxes that enter non-maximum suppression at most (the best ones), which bounds its time."""


LARGEST_STORED = 255
"""Outputs are uint8."""


class Detector(Protocol):
    """Anything that finds faces in a picture."""

    def detect(self, image: Image) -> list[Face]:
        """Faces in pixels of ``image``, best score first."""


class BundleDetector:
    """Runs a ``detect`` bundle.

    The model is anchor-free (FCOS, Tian et al. 2019): every cell of every level gives a
    score and a box. Outputs: scores (1, N, 1) in 0..1, box codes (1, N, 4) in -3..3.

    Args:
        bundle: For the task ``detect``.
        score_threshold: Faces below this score are dropped; None: as the card says.

    Raises:
        BundleError: The model cannot give such a score, so it would never see anybody.
    """

    def __init__(self, bundle: Bundle, score_threshold: float | None = None) -> None:
        self.bundle = bundle
        card = bundle.card
        self.score_threshold = card.score_threshold if score_threshold is None else score_threshold
        self._cells = cell_grid(card.input_width, card.input_height, card.strides).tolist()
        outputs = bundle.interpreter.outputs
        self._scores_at = next(i for i, output in enumerate(outputs) if output.shape[-1] == 1)
        scores, codes = outputs[self._scores_at], outputs[1 - self._scores_at]
        self._stored_threshold = quantize(self.score_threshold, scores) - ROUNDING
        if self._stored_threshold > LARGEST_STORED:
            best = float(dequantize(np.array([LARGEST_STORED], np.uint8), scores)[0])
            raise BundleError(
                f"{bundle.path}: no face can reach the score threshold {self.score_threshold:g}, "
                f"the model's best score is {best:.3f}: lower detector.score_threshold"
            )
        # Outputs are uint8: what each of the 256 values means is worked out once.
        stored = np.arange(256, dtype=np.uint8)
        self._score_of = dequantize(stored, scores).tolist()
        moves = dequantize(stored, codes) * CODE_GAIN
        self._move_of, self._size_of = moves.tolist(), (np.exp(moves) * BASE_SIZE).tolist()

    def detect(self, image: Image) -> list[Face]:
        card = self.bundle.card
        canvas, mapping = letterbox(image, card.input_width, card.input_height)
        outputs = self.bundle.interpreter.run(canvas[None])
        stored = outputs[self._scores_at][0, :, 0]
        # Few cells reach the threshold, and for few plain Python is faster than arrays.
        near = np.flatnonzero(stored >= self._stored_threshold)
        if not len(near):
            return []
        codes = outputs[1 - self._scores_at][0, near].tolist()
        found = [self._decode(code, at) for code, at in zip(codes, near.tolist(), strict=True)]
        scores = [self._score_of[value] for value in stored[near].tolist()]
        height, width = image.shape[:2]
        faces = []
        for at in nms(found, scores, card.nms_iou, MAX_CANDIDATES):
            box = mapping.to_source(*found[at]).within(width, height)
            if box.short_side >= 1:
                faces.append(Face(box, scores[at]))
        return faces

    def _decode(self, code: list[int], at: int) -> tuple[float, float, float, float]:
        """:func:`decode` for the stored code of one cell."""
        x, y, stride = self._cells[at]
        width, height = self._size_of[code[2]] * stride, self._size_of[code[3]] * stride
        left = x + self._move_of[code[0]] * stride - width / 2
        top = y + self._move_of[code[1]] * stride - height / 2
        return left, top, width, height


def cell_grid(width: int, height: int, strides: tuple[int, ...]) -> NDArray[np.float32]:
    """Centre x, centre y and stride of every cell, level by level, row by row: (N, 3)."""
    levels = []
    for stride in strides:
        ys, xs = np.mgrid[0 : height // stride, 0 : width // stride]
        centres = (np.stack([xs, ys], axis=-1).reshape(-1, 2) + 0.5) * stride
        levels.append(np.column_stack([centres, np.full(len(centres), stride)]))
    return np.concatenate(levels).astype(np.float32)


def decode(codes: NDArray[np.float32], cells: NDArray[np.float32]) -> Boxes:
    """Box codes of cells as faces on the canvas.

    Args:
        codes: (N, 4: dx, dy, log width, log height) float32.
        cells: (N, 3), see :func:`cell_grid`.

    Returns:
        (N, 4: left, top, width, height) float32.
    """
    strides = cells[:, 2:]
    moves = codes * CODE_GAIN
    sizes = np.exp(moves[:, 2:]) * (strides * BASE_SIZE)
    corners = moves[:, :2] * strides + cells[:, :2] - sizes / 2
    return np.concatenate([corners, sizes], axis=1)


def select(
    codes: NDArray[np.float32],
    scores: NDArray[np.float32],
    cells: NDArray[np.float32],
    score_threshold: float,
    nms_iou: float,
) -> tuple[Boxes, NDArray[np.float32]]:
    """Decode the cells at or above the threshold and suppress the doubles.

    Returns:
        Canvas boxes (M, 4) and their scores (M,), best first.
    """
    chosen = np.flatnonzero(scores >= score_threshold)
    found, kept = decode(codes[chosen], cells[chosen]), scores[chosen]
    keep = nms(found.tolist(), kept.tolist(), nms_iou, MAX_CANDIDATES)
    found[:, 2:] += found[:, :2]
    return found[keep], kept[keep]
