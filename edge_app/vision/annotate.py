"""Draws what the kiosk saw onto a frame: a box and a word per face, the light on top.

Every colour comes with a word and a shape, so that a picture can also be read without
telling red from green, and from across a room.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from edge_app.domain import Face, Image, MaskState, Observation, Signal

Colour = tuple[int, int, int]
"""Red, green, blue in 0..255."""

GREEN: Colour = (0, 170, 80)
AMBER: Colour = (245, 165, 0)
RED: Colour = (220, 40, 40)
GREY: Colour = (130, 130, 130)
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)

STATE_COLOURS: dict[MaskState, Colour] = {
    MaskState.WITH_MASK: GREEN,
    MaskState.INCORRECT_MASK: AMBER,
    MaskState.WITHOUT_MASK: RED,
}

SIGNAL_COLOURS: dict[Signal, Colour] = {
    Signal.COMPLIANT: GREEN,
    Signal.INCORRECT: AMBER,
    Signal.NO_MASK: RED,
    Signal.FAULT: RED,
    Signal.IDLE: GREY,
}

REFERENCE_HEIGHT = 480
"""Frame height in pixels at which text is drawn at :data:`TEXT_SCALE`; it grows with the frame."""

TEXT_SCALE = 0.5

Strokes = tuple[tuple[tuple[float, float], ...], ...]

SHAPES: dict[MaskState | None, Strokes] = {
    MaskState.WITH_MASK: (((0.05, 0.55), (0.35, 0.85), (0.95, 0.15)),),  # a tick
    MaskState.WITHOUT_MASK: (((0.1, 0.1), (0.9, 0.9)), ((0.9, 0.1), (0.1, 0.9))),  # a cross
    MaskState.INCORRECT_MASK: (  # a warning triangle
        ((0.5, 0.05), (1.0, 0.95), (0.0, 0.95), (0.5, 0.05)),
        ((0.5, 0.45), (0.5, 0.7)),
    ),
    None: (((0.1, 0.5), (0.9, 0.5)),),  # a dash
}
"""What stands before the words: lines through points of a square from (0, 0) to (1, 1)."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PADDING = 3


def annotate(image: Image, observation: Observation) -> Image:
    """A copy of a frame with its faces boxed and the signal in a band at the top.

    A face has the colour of its own verdict: green with a mask, amber for an incorrect
    one, red without, grey when uncertain or not judged. The band has the colour of the
    signal, which is the smoothed judgement over all faces.

    Args:
        image: RGB uint8, H x W x 3; stays as it is.
        observation: What the pipeline said about this frame.

    Returns:
        RGB uint8 of the same shape.
    """
    canvas = annotate_faces(image, observation.faces)
    text = f"{observation.signal}: {observation.reason}"
    _draw_band(canvas, text, observation.signal, _scale(image))
    return canvas


def annotate_faces(image: Image, faces: Iterable[Face]) -> Image:
    """A copy of a picture with a box around each face: see :func:`annotate`, without the band.

    Args:
        image: RGB uint8, H x W x 3; stays as it is.
        faces: In pixels of ``image``.

    Returns:
        RGB uint8 of the same shape.
    """
    canvas: Image = np.array(image, dtype=np.uint8, order="C", copy=True)
    for face in faces:
        _draw_face(canvas, face, _scale(image))
    return canvas


def describe(face: Face) -> str:
    """The words for a face, e.g. ``without mask 93%``, ``uncertain 48%`` or ``not judged``."""
    if face.verdict is None:
        return "not judged"
    state = face.verdict.state
    words = "uncertain" if state is None else state.value.replace("_", " ")
    return f"{words} {face.verdict.confidence:.0%}"


def face_colour(face: Face) -> Colour:
    """Green, amber or red by the face's verdict; grey when uncertain or not judged."""
    state = None if face.verdict is None else face.verdict.state
    return GREY if state is None else STATE_COLOURS[state]


def _scale(image: Image) -> float:
    return TEXT_SCALE * max(0.6, float(image.shape[0]) / REFERENCE_HEIGHT)


def _draw_face(canvas: Image, face: Face, scale: float) -> None:
    colour = face_colour(face)
    x0, y0, x1, y1 = (round(v) for v in face.box.as_tuple())
    cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), colour, _line_width(scale))
    text = describe(face)
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    label_height = height + 2 * _PADDING
    below = y1 + label_height <= canvas.shape[0]
    top = y1 if below else max(0, y0 - label_height)
    symbol = height + 2 * _PADDING  # the square before the words
    left = max(0, min(x0, canvas.shape[1] - width - symbol - 2 * _PADDING))
    corner = (left + symbol, top + label_height - 1)
    cv2.rectangle(canvas, (left, top), corner, colour, cv2.FILLED)
    state = None if face.verdict is None else face.verdict.state
    _draw_shape(canvas, SHAPES[state], (left + _PADDING, top + _PADDING), height, colour, scale)
    _draw_text(canvas, text, left + symbol, top, (width, height), colour, scale)


def _draw_shape(
    canvas: Image,
    strokes: Strokes,
    origin: tuple[int, int],
    size: int,
    background: Colour,
    scale: float,
) -> None:
    lines = [np.rint(np.array(line) * size + origin).astype(np.int32) for line in strokes]
    cv2.polylines(canvas, lines, False, _ink(background), _line_width(scale), cv2.LINE_AA)


def _linear(channel: float) -> float:
    """An sRGB channel in 0..1 as light."""
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _ink(background: Colour) -> Colour:
    """Black or white, whichever stands out more from the background (WCAG 2.2 contrast)."""
    linear = [_linear(channel / 255) for channel in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return WHITE if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else BLACK


def _draw_band(canvas: Image, text: str, signal: Signal, scale: float) -> None:
    text = text.encode("ascii", "replace").decode()  # the built-in font has no other letters
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    if width + 2 * _PADDING > canvas.shape[1]:
        scale *= canvas.shape[1] / (width + 2 * _PADDING)
        (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    size = (canvas.shape[1] - 2 * _PADDING, height)
    _draw_text(canvas, text, 0, 0, size, SIGNAL_COLOURS[signal], scale)


def _draw_text(
    canvas: Image,
    text: str,
    left: int,
    top: int,
    size: tuple[int, int],
    background: Colour,
    scale: float,
) -> None:
    width, height = size
    corner = (left + width + 2 * _PADDING - 1, top + height + 2 * _PADDING - 1)
    cv2.rectangle(canvas, (left, top), corner, background, cv2.FILLED)
    origin = (left + _PADDING, top + height + _PADDING)
    thickness = _line_width(scale) // 2 or 1
    cv2.putText(canvas, text, origin, _FONT, scale, _ink(background), thickness, cv2.LINE_AA)


def _line_width(scale: float) -> int:
    return max(1, round(scale * 3))
