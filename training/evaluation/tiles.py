"""Contact sheets: small pictures with words under them, in rows under headings."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_app.domain import Image
from edge_app.vision.annotate import Colour
from edge_app.vision.geometry import letterbox

GAP = 8
"""Pixels between tiles and around the sheet."""

TEXT_HEIGHT, HEADING_HEIGHT = 12, 18
"""Font sizes in pixels."""

LINE_SPACING = 1.3
"""Line height as a multiple of the font size."""

PAPER: Colour = (255, 255, 255)
INK: Colour = (30, 30, 30)


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One picture of a sheet.

    Attributes:
        image: RGB uint8, H x W x 3, of any size.
        lines: Words under it; what is too long is cut.
        colour: Of the frame around the picture.
    """

    image: Image
    lines: tuple[str, ...] = ()
    colour: Colour = PAPER


@dataclass(frozen=True, slots=True)
class Section:
    """Tiles under one heading."""

    heading: str
    tiles: Sequence[Tile]


def contact_sheet(sections: Sequence[Section], columns: int, width: int, height: int) -> Image:
    """Draw sections below each other.

    Args:
        sections: From top to bottom; each starts on a row of its own.
        columns: Tiles side by side.
        width: Of a tile's picture in pixels; pictures are fitted in without distortion.
        height: Of a tile's picture in pixels.

    Returns:
        RGB uint8, as large as it needs to be.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    heading_space = round(HEADING_HEIGHT * LINE_SPACING) + GAP
    lines = max((len(t.lines) for s in sections for t in s.tiles), default=0)
    row_height = height + round(lines * TEXT_HEIGHT * LINE_SPACING) + GAP
    rows = [math.ceil(len(section.tiles) / columns) for section in sections]
    size = (
        GAP + columns * (width + GAP),
        GAP + sum(heading_space + number * row_height for number in rows),
    )
    sheet = Pillow.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for section, number in zip(sections, rows, strict=True):
        draw.text((GAP, top), section.heading, INK, _font(HEADING_HEIGHT))
        top += heading_space
        for i, tile in enumerate(section.tiles):
            x = GAP + i % columns * (width + GAP)
            y = top + i // columns * row_height
            _draw_tile(sheet, draw, tile, (x, y), (width, height))
        top += number * row_height
    return np.asarray(sheet, np.uint8).copy()


def encode_png(image: Image) -> bytes:
    """An RGB picture as the content of a PNG file."""
    from PIL import Image as Pillow

    stream = io.BytesIO()
    Pillow.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _draw_tile(
    sheet: Any, draw: Any, tile: Tile, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    from PIL import Image as Pillow

    (x, y), (width, height) = corner, size
    sheet.paste(Pillow.fromarray(letterbox(tile.image, width, height)[0]), corner)
    if tile.colour != PAPER:
        draw.rectangle((x - 2, y - 2, x + width + 1, y + height + 1), outline=tile.colour, width=3)
    for i, line in enumerate(tile.lines):
        place = (x, y + height + 3 + round(i * TEXT_HEIGHT * LINE_SPACING))
        draw.text(place, _cut(draw, line, width), INK, _font(TEXT_HEIGHT))


def _cut(draw: Any, line: str, width: int) -> str:
    """A line that fits, its middle left out if need be: both ends of a file name tell most."""
    font = _font(TEXT_HEIGHT)
    if draw.textlength(line, font) <= width:
        return line
    kept = len(line) - 1
    while kept > 1:
        half = kept // 2
        shorter = f"{line[: kept - half]}…{line[len(line) - half :]}"
        if draw.textlength(shorter, font) <= width:
            return shorter
        kept -= 1
    return line[:1]


@functools.cache
def _font(size: int) -> Any:
    """DejaVu Sans, which comes with matplotlib and has most letters of file names."""
    from matplotlib import font_manager
    from PIL import ImageFont

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
