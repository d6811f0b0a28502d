"""Flat pictures of mask cloth: pleats, seams, weave, prints and folds.

A swatch is what the mask would look like spread on a table: row 0 is its upper edge,
column 0 the edge at the wearer's right ear. :mod:`training.data.overlay` bends it over
the face. Values are reflectances, float32 in about 0..1, RGB.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SWATCH_HEIGHT, SWATCH_WIDTH = 72, 108
"""Pixels of a swatch: as fine as a mask in a 224 px crop of a face."""

FloatImage = NDArray[np.float32]
Colour = tuple[float, float, float]


class Kind(enum.StrEnum):
    """What a mask is made of."""

    SURGICAL = "surgical"
    CLOTH = "cloth"
    KN95 = "kn95"
    PATTERNED = "patterned"


KIND_WEIGHTS = {Kind.SURGICAL: 0.52, Kind.CLOTH: 0.23, Kind.KN95: 0.15, Kind.PATTERNED: 0.10}
"""How often each kind is drawn: roughly what street photos show."""

SURGICAL_BLUE: Colour = (0.60, 0.82, 0.94)
_SURGICAL_COLOURS: tuple[Colour, ...] = (
    SURGICAL_BLUE,
    (0.46, 0.73, 0.90),
    (0.90, 0.92, 0.93),
    (0.52, 0.83, 0.75),
    (0.28, 0.70, 0.62),
    (0.94, 0.72, 0.77),
    (0.10, 0.10, 0.11),
)
_SURGICAL_WEIGHTS = (0.30, 0.20, 0.22, 0.10, 0.04, 0.04, 0.10)
_KN95_COLOURS: tuple[Colour, ...] = ((0.92, 0.92, 0.91), (0.62, 0.63, 0.65), (0.09, 0.09, 0.10))
_KN95_WEIGHTS = (0.68, 0.12, 0.20)
_PLAIN_DARK_SHARE = 0.45
"""Share of cloth masks that are black or nearly so."""


@dataclass(frozen=True, slots=True)
class Cloth:
    """One mask's material.

    Attributes:
        kind: What it is made of.
        swatch: Reflectance, SWATCH_HEIGHT x SWATCH_WIDTH x 3 float32.
        strap: Reflectance of its ear loops.
    """

    kind: Kind
    swatch: FloatImage
    strap: Colour


def draw_cloth(rng: np.random.Generator, kind: Kind | None = None) -> Cloth:
    """Draw a material at random; ``kind`` fixes what it is made of."""
    if kind is None:
        kind = list(KIND_WEIGHTS)[rng.choice(len(KIND_WEIGHTS), p=list(KIND_WEIGHTS.values()))]
    colour = _colour(kind, rng)
    swatch = np.empty((SWATCH_HEIGHT, SWATCH_WIDTH, 3), np.float32)
    swatch[:] = colour
    if kind is Kind.PATTERNED:
        _print(swatch, rng)
    swatch *= _folds(rng, float(rng.uniform(0.02, 0.09)))[..., None]
    {
        Kind.SURGICAL: _surgical,
        Kind.KN95: _kn95,
        Kind.CLOTH: _sewn,
        Kind.PATTERNED: _sewn,
    }[kind](swatch, rng)
    return Cloth(kind, swatch, _strap(colour, kind, rng))


def surgical_blue(rng: np.random.Generator) -> Cloth:
    """The usual light blue pleated mask with white loops."""
    swatch = np.empty((SWATCH_HEIGHT, SWATCH_WIDTH, 3), np.float32)
    swatch[:] = SURGICAL_BLUE
    swatch *= _folds(rng, 0.03)[..., None]
    _surgical(swatch, rng)
    return Cloth(Kind.SURGICAL, swatch, (0.9, 0.9, 0.9))


def cloth_from_photo(texture: NDArray[np.uint8], rng: np.random.Generator) -> Cloth:
    """Use the cloth of a real mask, cut from a photo.

    Args:
        texture: RGB uint8, the part of a photo that shows nothing but mask.
        rng: Decides whether it is mirrored and how bright it is.
    """
    size = (SWATCH_WIDTH, SWATCH_HEIGHT)
    flat = cv2.resize(texture, size, interpolation=cv2.INTER_AREA)
    swatch = np.asarray(flat, np.float32) / np.float32(255)
    if rng.random() < 0.5:
        swatch = np.ascontiguousarray(swatch[:, ::-1])
    swatch *= np.float32(rng.uniform(0.9, 1.15))
    mean = swatch.mean(axis=(0, 1))
    colour = (float(mean[0]), float(mean[1]), float(mean[2]))
    return Cloth(Kind.CLOTH, swatch, _strap(colour, Kind.CLOTH, rng))


def _colour(kind: Kind, rng: np.random.Generator) -> Colour:
    if kind is Kind.SURGICAL:
        base = _SURGICAL_COLOURS[rng.choice(len(_SURGICAL_COLOURS), p=_SURGICAL_WEIGHTS)]
    elif kind is Kind.KN95:
        base = _KN95_COLOURS[rng.choice(len(_KN95_COLOURS), p=_KN95_WEIGHTS)]
    elif kind is Kind.CLOTH and rng.random() < _PLAIN_DARK_SHARE:
        grey = float(rng.uniform(0.05, 0.16))
        base = (grey, grey, grey * float(rng.uniform(0.9, 1.4)))
    else:
        base = _any_colour(rng)
    jitter = rng.normal(1, 0.05, 3)
    return (
        float(np.clip(base[0] * jitter[0], 0.02, 0.97)),
        float(np.clip(base[1] * jitter[1], 0.02, 0.97)),
        float(np.clip(base[2] * jitter[2], 0.02, 0.97)),
    )


def _any_colour(rng: np.random.Generator) -> Colour:
    hsv = np.array([[[rng.uniform(0, 360), rng.beta(1.2, 1.6), rng.uniform(0.15, 0.95)]]])
    rgb = cv2.cvtColor(hsv.astype(np.float32), cv2.COLOR_HSV2RGB)[0, 0]
    return float(rgb[0]), float(rgb[1]), float(rgb[2])


def _strap(colour: Colour, kind: Kind, rng: np.random.Generator) -> Colour:
    if max(colour) < 0.25:
        return (0.08, 0.08, 0.09)
    if kind in (Kind.CLOTH, Kind.PATTERNED) and rng.random() < 0.5:
        return colour
    return (0.9, 0.9, 0.9)


def _folds(rng: np.random.Generator, strength: float) -> FloatImage:
    """Smooth random wrinkles around 1: coarse ones, wider than high, plus finer ones."""
    coarse = rng.normal(0, 1, (5, 4)).astype(np.float32)
    fine = rng.normal(0, 0.6, (12, 9)).astype(np.float32)
    size = (SWATCH_WIDTH, SWATCH_HEIGHT)
    total = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)
    total += np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_CUBIC), np.float32)
    grain = rng.normal(0, 0.25, (SWATCH_HEIGHT, SWATCH_WIDTH)).astype(np.float32)
    folds: FloatImage = 1 + strength * (total + grain)
    return folds


def _surgical(swatch: FloatImage, rng: np.random.Generator) -> None:
    """Three or four pleats, a stitched rim, sometimes a lighter rim or a nose wire."""
    rows = np.arange(SWATCH_HEIGHT, dtype=np.float32)
    shade = np.ones(SWATCH_HEIGHT, np.float32)
    pleats = int(rng.integers(2, 5))
    first, last = rng.uniform(0.25, 0.38), rng.uniform(0.62, 0.8)
    depth = rng.uniform(0.06, 0.3)
    width = rng.uniform(0.9, 2.4)
    for centre in np.linspace(first, last, pleats) * SWATCH_HEIGHT:
        shade -= depth * np.exp(-(((rows - centre) / width) ** 2))
        shade += 0.4 * depth * np.exp(-(((rows - centre + 2.5 * width) / (1.6 * width)) ** 2))
    swatch *= shade[:, None, None]
    rim = int(rng.integers(4, 8))
    strength = float(rng.uniform(0.86, 0.97))
    for edge in (rim, SWATCH_HEIGHT - rim - 1):
        swatch[edge : edge + 1] *= strength
    if rng.random() < 0.35:
        light = float(rng.uniform(0.3, 0.8))
        swatch[:rim] += (0.9 - swatch[:rim]) * light
    side = int(rng.integers(3, 7))
    swatch[:, side] *= strength
    swatch[:, -side - 1] *= strength
    swatch[:, :side] *= 1 - (1 - strength) / 2
    swatch[:, -side:] *= 1 - (1 - strength) / 2


def _kn95(swatch: FloatImage, rng: np.random.Generator) -> None:
    """A fold down the middle, light on one side of it, and a welded rim."""
    middle = SWATCH_WIDTH // 2
    columns = np.arange(SWATCH_WIDTH, dtype=np.float32) - middle
    shade = 1 + rng.uniform(-0.08, 0.08) * np.tanh(columns / 3)
    shade -= rng.uniform(0.05, 0.18) * np.exp(-((columns / 1.2) ** 2))
    swatch *= shade[None, :, None].astype(np.float32)
    inset, gap = int(rng.integers(5, 9)), 2
    weld = float(rng.uniform(0.84, 0.94))
    swatch[inset, ::gap] *= weld
    swatch[-inset, ::gap] *= weld
    swatch[::gap, inset] *= weld
    swatch[::gap, -inset] *= weld


def _sewn(swatch: FloatImage, rng: np.random.Generator) -> None:
    """Hems, and for some a seam down the middle or the side folds of a pleated one."""
    hem = int(rng.integers(3, 6))
    dark = float(rng.uniform(0.8, 0.95))
    for line in (hem, SWATCH_HEIGHT - hem - 1):
        swatch[line] *= dark
    for column in (2 * hem, SWATCH_WIDTH - 2 * hem - 1):
        swatch[:, column] *= dark
    if rng.random() < 0.5:
        swatch[:, SWATCH_WIDTH // 2] *= dark


def _print(swatch: FloatImage, rng: np.random.Generator) -> None:
    """Stripes, checks, dots, blots or one badge in a second colour."""
    second = np.array(_any_colour(rng), np.float32)
    pitch = int(rng.integers(6, 20))
    rows, columns = np.mgrid[:SWATCH_HEIGHT, :SWATCH_WIDTH]
    choice = rng.integers(5)
    if choice == 0:
        on = (rows if rng.random() < 0.6 else columns) // pitch % 2 == 0
    elif choice == 1:
        on = (rows // pitch + columns // pitch) % 2 == 0
    elif choice == 2:
        radius = 0.3 * pitch
        on = np.hypot(rows % pitch - pitch / 2, columns % pitch - pitch / 2) < radius
    elif choice == 3:
        blots = rng.normal(0, 1, (SWATCH_HEIGHT // pitch + 2, SWATCH_WIDTH // pitch + 2))
        smooth = cv2.resize(blots.astype(np.float32), (SWATCH_WIDTH, SWATCH_HEIGHT))
        on = smooth > 0.3
    else:
        at = rng.uniform(0.3, 0.7, 2) * (SWATCH_HEIGHT, SWATCH_WIDTH)
        on = np.hypot(rows - at[0], columns - at[1]) < 0.8 * pitch
    swatch[on] = second
