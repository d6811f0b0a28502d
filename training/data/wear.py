"""The shapes of worn masks: how far up, how far down, how askew, on an average head.

Shapes are grids of points in the head frame of :mod:`training.data.head`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_app.domain import MaskState
from training.data.cloth import Kind
from training.data.head import PROFILE_Y, PROFILE_Z, SIDE_X, SIDE_Z, Points


class Wear(enum.StrEnum):
    """How a drawn mask is worn."""

    CORRECT = "correct"
    NOSE_OUT = "nose_out"
    MOUTH_OUT = "mouth_out"
    CHIN = "chin"
    ONE_EAR = "one_ear"


STATE_OF_WEAR: Mapping[Wear, MaskState] = {
    wear: MaskState.WITH_MASK if wear is Wear.CORRECT else MaskState.INCORRECT_MASK for wear in Wear
}
"""The label that a face with such a mask gets."""

_NOSE_ONLY_SHARE = 0.08
"""Share of the masks with the mouth out that cover the nose alone."""

_ROWS, _COLUMNS = 9, 15


@dataclass(frozen=True, slots=True)
class _Fit:
    """Where a mask's edges lie, as y in head units: at the middle and at the sides."""

    top: float
    bottom: float
    side_top: float
    side_bottom: float


def draw_surface(wear: Wear, kind: Kind, rng: np.random.Generator) -> Points:
    """Draw a mask's shape on the average head.

    Returns:
        (9, 15, 3) points in head units, rows from the upper edge down.
    """
    if wear is Wear.ONE_EAR:
        return _hanging(rng)
    fit = _draw_fit(wear, rng)
    tilt = float(rng.normal(0, 0.04))
    if wear in (Wear.MOUTH_OUT, Wear.CHIN):
        tilt *= 2
    return worn_surface(fit.top, fit.bottom, fit.side_top, fit.side_bottom, kind, tilt)


def worn_surface(
    top: float, bottom: float, side_top: float, side_bottom: float, kind: Kind, tilt: float = 0.0
) -> Points:
    """The shape of a mask over both cheeks.

    Args:
        top: Upper edge at the middle of the face, y in head units (nose tip 0.58, mouth 1).
        bottom: Lower edge at the middle (chin about 1.7).
        side_top: Upper edge at the cheeks.
        side_bottom: Lower edge at the cheeks.
        kind: KN95 stands off the face with a ridge; the others are rounder.
        tilt: How much lower the left side hangs.

    Returns:
        (9, 15, 3) points in head units.
    """
    t = np.linspace(0, 1, _ROWS)[:, None]
    s = np.linspace(-1, 1, _COLUMNS)[None, :]
    middle_y = top + (bottom - top) * t
    skin = np.interp(middle_y, PROFILE_Y, PROFILE_Z)
    chord = skin[:1] + (skin[-1:] - skin[:1]) * t
    bulge = {Kind.KN95: 0.16, Kind.SURGICAL: 0.08}.get(kind, 0.05)
    middle_z = np.maximum(skin, chord) + 0.03 + bulge * np.sin(np.pi * t) ** 0.7
    side_y = side_top + (side_bottom - side_top) * t
    side_x = np.interp(side_y, PROFILE_Y, SIDE_X) + 0.02
    widest = np.radians(58 if kind is Kind.KN95 else 76)
    angle = s * widest
    x = side_x * np.sin(angle) / np.sin(widest)
    arc = (np.cos(angle) - np.cos(widest)) / (1 - np.cos(widest))
    z = SIDE_Z + (middle_z - SIDE_Z) * arc
    y = middle_y + (side_y - middle_y) * np.abs(s) ** 1.5 + tilt * s
    return np.stack([x, y, z], axis=-1)


def _draw_fit(wear: Wear, rng: np.random.Generator) -> _Fit:
    u = rng.uniform
    if wear is Wear.CORRECT:
        return _Fit(u(0.12, 0.38), u(1.62, 1.9), u(0.28, 0.62), u(1.05, 1.45))
    if wear is Wear.NOSE_OUT:
        top = u(0.64, 0.9)
        return _Fit(top, u(1.5, 1.9), u(0.55, 0.95), u(1.15, 1.5))
    if wear is Wear.MOUTH_OUT:
        if u() < _NOSE_ONLY_SHARE:
            return _Fit(u(0.15, 0.4), u(0.76, 0.86), u(0.3, 0.5), u(0.65, 0.9))
        return _Fit(u(1.2, 1.4), u(1.75, 2.1), u(0.95, 1.3), u(1.35, 1.75))
    return _Fit(u(1.42, 1.8), u(1.9, 2.4), u(1.15, 1.6), u(1.65, 2.1))


def _hanging(rng: np.random.Generator) -> Points:
    """A mask that hangs from one ear: its long side points down beside the cheek."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    t = np.linspace(0, 1, _ROWS)[:, None]
    s = np.linspace(0, 1, _COLUMNS)[None, :]
    length, width = rng.uniform(1.1, 1.6), rng.uniform(0.35, 0.75)
    top, lean = rng.uniform(0.5, 0.8), rng.uniform(-0.25, 0.1)
    x = side * (1.02 - width * (t - 0.35) + lean * s) + 0 * s
    y = top + length * s + rng.uniform(-0.15, 0.15) * t
    z = -0.55 + 0.25 * t + 0.12 * np.sin(np.pi * t) + 0 * s
    return np.stack([x, y + 0 * t, z], axis=-1)
