"""Makes everybody in a picture unrecognisable but one."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2

from edge_app.domain import Box, Image

FACE_BLOCKS = 4
"""Blocks across a hidden face and its margin: about three across the face itself. People and
programs can recognise somebody from some ten blocks, programs sometimes from fewer."""

FACE_MARGIN = 0.25
"""Of the face's size, added on each side: hair, ears and chin are hidden too."""

SCENE_BLOCKS = 24
"""Blocks along the picture's shorter side wherever no face was found. The detector misses
faces: one of a third of the picture's height still gets eight blocks only."""

SHOWN_MARGIN = 0.35
"""Of the face's size, left as it is around the face that is shown: a mask on the chin."""

MIN_BLOCK_PX = 4
"""No block is smaller, however small the face."""


def show_only(image: Image, shown: Box, hidden: Iterable[Box]) -> Image:
    """A copy of a picture in which one face can be recognised and nobody else.

    The whole picture becomes coarse blocks, except around ``shown``. Faces known to be
    somebody else's become even coarser ones, also where they overlap the one shown.

    Args:
        image: RGB uint8, H x W x 3; stays as it is.
        shown: The face that stays as it is.
        hidden: All other faces.

    Returns:
        RGB uint8 of the same shape.
    """
    height, width = image.shape[:2]
    canvas = image.copy()
    across = max(1, math.ceil(min(height, width) / SCENE_BLOCKS))
    _pixelate(image, canvas, (0, 0, width, height), max(across, MIN_BLOCK_PX))
    x0, y0, x1, y1 = _grown(shown, SHOWN_MARGIN, width, height)
    canvas[y0:y1, x0:x1] = image[y0:y1, x0:x1]
    for box in hidden:
        region = _grown(box, FACE_MARGIN, width, height)
        longer = max(region[2] - region[0], region[3] - region[1])
        block = max(math.ceil(longer / FACE_BLOCKS), MIN_BLOCK_PX)
        _pixelate(image, canvas, region, block)
    return canvas


def _grown(box: Box, margin: float, width: int, height: int) -> tuple[int, int, int, int]:
    """A box with a margin, in whole pixels of the picture: left, top, right, bottom."""
    dx, dy = margin * box.width, margin * box.height
    cut = Box(box.x0 - dx, box.y0 - dy, box.x1 + dx, box.y1 + dy).within(width, height)
    return math.floor(cut.x0), math.floor(cut.y0), math.ceil(cut.x1), math.ceil(cut.y1)


def _pixelate(source: Image, target: Image, region: tuple[int, int, int, int], block: int) -> None:
    """Fill a region of ``target`` with the means of ``source`` over blocks of so many pixels."""
    x0, y0, x1, y1 = region
    if x1 <= x0 or y1 <= y0:
        return
    columns, rows = max(1, (x1 - x0) // block), max(1, (y1 - y0) // block)
    means = cv2.resize(source[y0:y1, x0:x1], (columns, rows), interpolation=cv2.INTER_AREA)
    target[y0:y1, x0:x1] = cv2.resize(means, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
