"""Boxes and the two ways a picture reaches a model: letterbox and square crop.

This is the only implementation of preprocessing; training imports it, so a model sees
on the device exactly what it saw when it was trained. Boxes in bulk are float32 arrays
of shape (N, 4): x0, y0, x1, y1 in pixels, right and bottom exclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Box, Image

Boxes = NDArray[np.float32]

LETTERBOX_FILL = 114
"""Grey level of the bars, as in YOLO's letterbox: near the mean of natural images."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The mapping of a letterboxed picture: ``canvas = source * scale + (dx, dy)``."""

    scale: float
    dx: int
    dy: int

    def to_canvas(self, boxes: Boxes) -> Boxes:
        """Source pixels -> canvas pixels, shape (N, 4)."""
        shift = np.array([self.dx, self.dy, self.dx, self.dy], np.float32)
        return (boxes * self.scale + shift).astype(np.float32, copy=False)

    def to_source(self, left: float, top: float, width: float, height: float) -> Box:
        """A rectangle in canvas pixels as a box in source pixels: one, without NumPy's overhead."""
        x, y = (left - self.dx) / self.scale, (top - self.dy) / self.scale
        return Box(x, y, x + width / self.scale, y + height / self.scale)


def letterbox(image: Image, width: int, height: int) -> tuple[Image, Letterbox]:
    """Fit a picture into ``width`` x ``height`` without distortion, grey bars around it.

    Args:
        image: RGB uint8, H x W x 3, at least 1 x 1.
        width: Canvas width in pixels.
        height: Canvas height in pixels.

    Returns:
        The canvas (uint8, height x width x 3) and the mapping between the two.

    Raises:
        ValueError: The picture is not H x W x 3 uint8 or has no pixels.
    """
    _require_rgb(image)
    source_height, source_width = image.shape[:2]
    scale = min(width / source_width, height / source_height)
    inner_width = max(1, min(width, round(source_width * scale)))
    inner_height = max(1, min(height, round(source_height * scale)))
    dx, dy = (width - inner_width) // 2, (height - inner_height) // 2
    inner = resize(image, inner_width, inner_height)
    if (inner_width, inner_height) == (width, height):
        return inner, Letterbox(scale, 0, 0)
    canvas = np.full((height, width, 3), LETTERBOX_FILL, np.uint8)
    canvas[dy : dy + inner_height, dx : dx + inner_width] = inner
    return canvas, Letterbox(scale, dx, dy)


def square_crop(image: Image, box: Box, margin: float, size: int) -> Image:
    """Cut the square around a face and scale it to the classifier's input.

    The square is centred on the box, its side is ``(1 + margin)`` times the longer side
    of the box. Where it leaves the picture, the picture's edge pixels are repeated.

    Args:
        image: RGB uint8, H x W x 3.
        box: The face in pixels of ``image``; may stick out of the picture.
        margin: Extra width as a fraction of the longer side, e.g. 0.4.
        size: Side of the result in pixels.

    Returns:
        RGB uint8, size x size x 3.

    Raises:
        ValueError: The picture is not RGB uint8, or the box is empty, not finite or wholly
            outside the picture.
    """
    _require_rgb(image)
    height, width = image.shape[:2]
    if not all(math.isfinite(value) for value in box.as_tuple()) or box.area <= 0:
        raise ValueError(f"box {box} is empty or not finite")
    if box.x1 <= 0 or box.y1 <= 0 or box.x0 >= width or box.y0 >= height:
        raise ValueError(f"box {box} lies outside the {width}x{height} picture")
    side = max(1, round((1 + margin) * max(box.width, box.height)))
    cx, cy = box.centre
    # A box that only grazes the picture may be rounded off it: keep one pixel inside.
    x0 = min(max(round(cx - side / 2), 1 - side), width - 1)
    y0 = min(max(round(cy - side / 2), 1 - side), height - 1)
    x1, y1 = x0 + side, y0 + side
    inside = image[max(0, y0) : min(height, y1), max(0, x0) : min(width, x1)]
    if inside.shape[:2] != (side, side):
        inside = cv2.copyMakeBorder(
            inside,
            max(0, -y0),
            max(0, y1 - height),
            max(0, -x0),
            max(0, x1 - width),
            cv2.BORDER_REPLICATE,
        )  # type: ignore[assignment]
    return resize(inside, size, size)


def resize(image: Image, width: int, height: int) -> Image:
    """Scale a picture bilinearly, halving it first as often as it is twice too large.

    Halving averages 2 x 2 pixels, so no detail is skipped (a mipmap, Williams 1983). OpenCV's
    own area averaging gives nearly the same picture; at scales that are no whole number it
    took eight times as long (320x240 to 256x192, x86-64).

    A picture that has the size already is not copied.
    """
    while image.shape[1] >= 2 * width and image.shape[0] >= 2 * height:
        image = _bilinear(image, image.shape[1] // 2, image.shape[0] // 2)
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    return _bilinear(image, width, height)


def _bilinear(image: Image, width: int, height: int) -> Image:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection over union of every pair, shape (len(a), len(b)), in 0..1."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    union = _areas(a)[:, None] + _areas(b)[None, :] - overlap
    return np.where(union > 0, overlap / np.maximum(union, 1e-12), 0).astype(np.float32)


def rectangles(boxes: Boxes) -> Boxes:
    """Boxes (N, 4: left, top, right, bottom) as (N, 4: left, top, width, height)."""
    sized = boxes.copy()
    sized[:, 2:] -= boxes[:, :2]
    return sized


def nms(
    found: Sequence[Sequence[float]],
    scores: Sequence[float],
    iou_limit: float,
    candidates: int = 0,
) -> list[int]:
    """Greedy non-maximum suppression, OpenCV's.

    Args:
        found: Rectangles (left, top, width, height), each with an area above 0.
        scores: One per rectangle, above 0; among equal scores the earlier one wins.
        iou_limit: 0..1; what overlaps a better one by more than this is dropped.
        candidates: Only so many, those with the best scores, are looked at; 0 is all.

    Returns:
        Indices of those that stay, best score first.
    """
    kept = cv2.dnn.NMSBoxes(found, scores, 0.0, iou_limit, top_k=candidates)
    return np.asarray(kept, np.intp).reshape(-1).tolist()


def _areas(boxes: Boxes) -> NDArray[np.float32]:
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sides.prod(axis=1), np.float32)


def _require_rgb(image: Image) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"expected an RGB uint8 picture H x W x 3, got shape {image.shape}, {image.dtype}"
        )
