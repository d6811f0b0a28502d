"""Grids of points and lines drawn into a picture, soft-edged, and cloth bent over a grid.

What :mod:`training.data.overlay` draws masks with; nothing here knows about faces.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.cloth import SWATCH_HEIGHT, SWATCH_WIDTH, FloatImage
from training.data.head import Points

_SUPERSAMPLE = 2
"""Edges are drawn at so many times the picture's resolution, and scaled down."""


def fill(flat: Points, shape: tuple[int, ...]) -> FloatImage:
    """How much of each pixel a surface covers.

    Args:
        flat: (rows, columns, 2) points of the surface in pixels.
        shape: (height, width) of the picture.

    Returns:
        float32 (height, width), 0..1.
    """
    cells = np.stack([flat[:-1, :-1], flat[:-1, 1:], flat[1:, 1:], flat[1:, :-1]], axis=2)
    canvas = np.zeros((shape[0] * _SUPERSAMPLE, shape[1] * _SUPERSAMPLE), np.uint8)
    corners = np.round(cells.reshape(-1, 4, 2) * _SUPERSAMPLE + (_SUPERSAMPLE - 1) / 2)
    for cell in corners.astype(np.int32):
        cv2.fillConvexPoly(canvas, cell, 255)
    return _shrink(canvas, shape)


def stroke(lines: list[Points], width: float, shape: tuple[int, ...]) -> FloatImage:
    """How much of each pixel some lines cover.

    Args:
        lines: Polylines, (points, 2) pixels each.
        width: Of a line, in pixels; drawn at least one pixel wide.
        shape: (height, width) of the picture.

    Returns:
        float32 (height, width), 0..1.
    """
    canvas = np.zeros((shape[0] * _SUPERSAMPLE, shape[1] * _SUPERSAMPLE), np.uint8)
    thickness = max(_SUPERSAMPLE, round(width * _SUPERSAMPLE))
    for line in lines:
        points = np.round(line * _SUPERSAMPLE).astype(np.int32)
        cv2.polylines(canvas, [points], False, 255, thickness)
    return _shrink(canvas, shape)


def _shrink(canvas: NDArray[np.uint8], shape: tuple[int, ...]) -> FloatImage:
    small = cv2.resize(canvas, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


def lowered(mask: FloatImage, pixels: int) -> FloatImage:
    """A mask moved down by so many pixels, at least one; what enters at the top is 0."""
    moved = np.zeros_like(mask)
    moved[pixels:] = mask[:-pixels]
    return moved


def soften(image: FloatImage, sigma: float) -> FloatImage:
    """A picture or mask blurred by a Gaussian of ``sigma`` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def bend(swatch: FloatImage, flat: Points, shape: tuple[int, ...]) -> FloatImage:
    """Bring a swatch to where its grid lies in the picture.

    The inverse map (pixel to swatch) is a cubic polynomial fitted to the grid's nodes that
    face the camera, which are all that can be seen.

    Args:
        swatch: float32 (:data:`SWATCH_HEIGHT`, :data:`SWATCH_WIDTH`, 3).
        flat: (rows, columns, 2) points of the surface in pixels, the swatch's first row first.
        shape: (height, width) of the picture.

    Returns:
        float32 (height, width, 3); what lies beside the surface repeats the swatch's edge.
    """
    down, across = np.asarray(np.gradient(flat, axis=(0, 1)))
    facing = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    seen = facing * np.sign(facing.sum() or 1) > 0.1 * np.abs(facing).max()
    rows, columns = np.nonzero(seen)
    nodes = flat[seen]
    centre, scale = np.mean(nodes, axis=0, keepdims=True)[0], 2 * float(nodes.std(axis=0).max())
    wanted = np.stack(
        [
            columns / (flat.shape[1] - 1) * (SWATCH_WIDTH - 1),
            rows / (flat.shape[0] - 1) * (SWATCH_HEIGHT - 1),
        ],
        axis=1,
    )
    relative = (nodes - centre) / scale
    weights = _solve(_cubic(relative[:, 0], relative[:, 1]), wanted)
    # The map is smooth: a quarter of the resolution, scaled up, is exact enough.
    step = 4
    wide, high = -(-shape[1] // step), -(-shape[0] // step)
    xs = (np.arange(wide) * step + (step - 1) / 2 - centre[0]) / scale
    ys = (np.arange(high) * step + (step - 1) / 2 - centre[1]) / scale
    grid_x, grid_y = np.broadcast_arrays(xs[None, :], ys[:, None])
    terms = _cubic(grid_x.ravel(), grid_y.ravel())
    coarse = (terms.T @ weights).astype(np.float32).reshape(high, wide, 2)
    where = np.asarray(cv2.resize(coarse, (wide * step, high * step)), np.float32)
    column, row = cv2.split(where[: shape[0], : shape[1]])
    bent = cv2.remap(swatch, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(bent, np.float32)


def _cubic(x: Points, y: Points) -> Points:
    xx, yy = x * x, y * y
    return np.array([np.ones_like(x), x, y, xx, x * y, yy, x * xx, xx * y, x * yy, y * yy])


def _solve(terms: Points, wanted: Points) -> Points:
    """Least squares, held back a little so that few nodes cannot bend it wildly."""
    gram = terms @ terms.T + 1e-4 * len(wanted) * np.eye(len(terms))
    return np.asarray(np.linalg.solve(gram, terms @ wanted), np.float64)
