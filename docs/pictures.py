"""Keeps a screenshot as it is when a new one shows nothing new."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLEARLY = 40
"""Grey levels of 255 between two pixels that differ."""

SAME = 0.005
"""Share of pixels that may differ in the same picture. Times of day and durations take 0.2 % of the
status page; a row more or less moves everything below it."""


def shows_the_same(old: Image.Image, new: Image.Image) -> bool:
    """Whether two pictures differ in no more than a clock would."""
    if old.size != new.size:
        return False
    one, other = (np.asarray(picture.convert("L"), np.int16) for picture in (old, new))
    return float((np.abs(one - other) > CLEARLY).mean()) <= SAME


def replace_if_changed(file: Path, new: Image.Image, colours: int) -> bool:
    """Write a picture with a palette of so many colours, unless the file shows the same.

    Returns:
        Whether it was written.
    """
    if file.exists():
        with Image.open(file) as old:
            if shows_the_same(old, new):
                return False
    file.parent.mkdir(parents=True, exist_ok=True)
    new.convert("RGB").quantize(colours, kmeans=1).save(file, optimize=True)
    return True
