"""Things in front of a bare face that are not masks: hands, cups, phones, microphones, food.

A classifier that has only seen bare and masked faces takes whatever covers the mouth for a
mask. Faces with one of these objects keep the label ``without_mask``.
"""

from __future__ import annotations

import enum

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Image
from training.data.head import Landmarks, Points, fit_camera, project
from training.data.photo import blur_sigma, light_field, match_saturation, noise_level

FloatImage = NDArray[np.float32]

_SUPERSAMPLE = 2
_SHADING = 0.035
"""Blur of an object's shading, in head units."""

_FACE = np.array([[x, y, 0.1] for x in (-0.45, 0.0, 0.45) for y in (0.3, 0.6, 1.15)])
"""Head-frame points where skin is expected; see :mod:`training.data.head`."""


class Occluder(enum.StrEnum):
    """What is held before the face."""

    HAND = "hand"
    CUP = "cup"
    PHONE = "phone"
    MICROPHONE = "microphone"
    FOOD = "food"


WEIGHTS = {
    Occluder.HAND: 0.40,
    Occluder.CUP: 0.18,
    Occluder.PHONE: 0.14,
    Occluder.MICROPHONE: 0.16,
    Occluder.FOOD: 0.12,
}
"""How often each is drawn: hands before faces are by far the commonest."""


class _Layer:
    """Coloured, shaded shapes on a transparent sheet over the picture."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        size = (shape[0] * _SUPERSAMPLE, shape[1] * _SUPERSAMPLE)
        self._cover = np.zeros(size, np.uint8)
        self._reflectance = np.zeros((*size, 3), np.float32)

    def polygon(self, points: Points, colour: FloatImage) -> None:
        corners = np.round(points * _SUPERSAMPLE).astype(np.int32)
        cv2.fillPoly(self._cover, [corners], 255)
        cv2.fillPoly(self._reflectance, [corners], colour.tolist())

    def capsule(self, line: Points, width: float, colour: FloatImage) -> None:
        """A thick rounded stroke, darker towards its rims like a finger or a stick."""
        points = np.round(line * _SUPERSAMPLE).astype(np.int32)
        for share, shade in ((1.0, 0.74), (0.85, 0.86), (0.65, 0.95), (0.4, 1.0)):
            thickness = max(1, round(width * share * _SUPERSAMPLE))
            cv2.polylines(self._reflectance, [points], False, (colour * shade).tolist(), thickness)
            cv2.polylines(self._cover, [points], False, 255, thickness)

    def ball(self, centre: Points, radius: float, colour: FloatImage) -> None:
        at = np.round(centre * _SUPERSAMPLE).astype(int)
        place = (int(at[0]), int(at[1]))
        cv2.circle(self._cover, place, max(1, round(radius * _SUPERSAMPLE)), 255, -1)
        for share, shade in ((1.0, 0.75), (0.85, 0.86), (0.65, 0.95), (0.4, 1.03)):
            size = max(1, round(radius * share * _SUPERSAMPLE))
            cv2.circle(self._reflectance, place, size, (colour * shade).tolist(), -1)

    def flatten(self, softness: float, shading: float) -> tuple[FloatImage, FloatImage]:
        """Coverage (h, w, 1) in 0..1 and reflectance (h, w, 3).

        Outlines are blurred by sigma ``softness``, colours inside by ``shading``, so that the
        steps of a stroke's shading melt into a round shape.
        """
        height, width = (side // _SUPERSAMPLE for side in self._cover.shape)
        cover = self._cover.astype(np.float32)[..., None] / 255
        full = np.dstack([self._reflectance * cover, cover]).astype(np.float32)
        sheet = cv2.resize(full, (width, height), interpolation=cv2.INTER_AREA)
        alpha = cv2.GaussianBlur(sheet[..., 3], (0, 0), softness)
        colours = np.asarray(cv2.GaussianBlur(sheet, (0, 0), max(shading, softness)), np.float32)
        reflectance = colours[..., :3] / np.maximum(colours[..., 3:], np.float32(1e-3))
        return np.asarray(alpha, np.float32)[..., None], np.asarray(reflectance, np.float32)


def render_occluder(
    image: Image,
    landmarks: Landmarks,
    rng: np.random.Generator,
    occluder: Occluder | None = None,
) -> Image:
    """Put an object in front of a bare face's mouth or nose.

    Args:
        image: RGB uint8, H x W x 3; not changed.
        landmarks: (5, 2) pixels, as :data:`training.data.head.Landmarks`.
        rng: Draws the object, its place, colour and light.
        occluder: Fixes the object.

    Returns:
        A new RGB uint8 picture of the same size.

    Raises:
        ValueError: The landmarks are not (5, 2) finite numbers, or span no area.
    """
    if occluder is None:
        occluder = list(WEIGHTS)[rng.choice(len(WEIGHTS), p=list(WEIGHTS.values()))]
    camera = fit_camera(landmarks)
    unit = float(np.linalg.norm(camera[1]))
    skin_points = project(_FACE, camera)
    height, width = image.shape[:2]
    whole = (0, 0, width, height)
    light = light_field(image, skin_points, whole, float(rng.normal(1, 0.1)))

    layer = _Layer(image.shape)
    skin = _skin(image, skin_points, light)
    mouth = project(np.array([rng.normal(0, 0.12), rng.uniform(0.75, 1.1), 0.4]), camera)
    {
        Occluder.HAND: _hand,
        Occluder.CUP: _cup,
        Occluder.PHONE: _phone,
        Occluder.MICROPHONE: _microphone,
        Occluder.FOOD: _food,
    }[occluder](layer, mouth, unit, skin, rng)

    low = np.clip(skin_points.min(0), 0, (width - 2, height - 2)).astype(int)
    high = np.clip(skin_points.max(0) + 1, low + 1, (width, height)).astype(int)
    face = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    alpha, reflectance = layer.flatten(blur_sigma(image, face), _SHADING * unit)
    lit = reflectance * light
    lit += noise_level(image, face) * rng.standard_normal((height, width, 1), np.float32)
    lit = match_saturation(lit, image)
    out = image.astype(np.float32)
    shadow = cv2.GaussianBlur(alpha, (0, 0), 0.08 * unit)
    out *= 1 - float(rng.uniform(0.05, 0.3)) * shadow[..., None]
    out += alpha * (lit - out)
    return np.asarray(np.clip(out + 0.5, 0, 255), np.uint8)


def _skin(image: Image, points: Points, light: FloatImage) -> FloatImage:
    """Reflectance of the face's own skin."""
    height, width = image.shape[:2]
    columns = np.clip(points[:, 0], 0, width - 1).astype(int)
    rows = np.clip(points[:, 1], 0, height - 1).astype(int)
    share = image[rows, columns] / np.maximum(light[rows, columns], 1)
    bright = share[np.argsort(share.sum(axis=1))[-5:]]
    skin: FloatImage = np.clip(np.median(bright, axis=0) * 1.05, 0.05, 1.6).astype(np.float32)
    return skin


def _turn(degrees: float) -> Points:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _any(rng: np.random.Generator, low: float = 0.05, high: float = 0.95) -> FloatImage:
    grey = rng.uniform(low, high)
    return np.clip(grey + rng.normal(0, 0.15, 3), 0.03, 0.97).astype(np.float32)


def _hand(
    layer: _Layer, at: Points, unit: float, skin: FloatImage, rng: np.random.Generator
) -> None:
    """A forearm, a palm and fingers that cross the mouth, the nose or the chin."""
    side = rng.choice([-1.0, 1.0])
    turn = _turn(side * rng.uniform(-15, 75))
    finger, fingers = rng.uniform(0.25, 0.33) * unit, int(rng.choice([1, 2, 3, 4, 4]))
    reach = rng.uniform(0.3, 0.75) * unit
    knuckles = np.array([0, reach])
    wrist = knuckles + np.array([rng.normal(0, 0.1), 0.9]) * unit
    elbow = at + wrist @ turn + np.array([side * rng.uniform(0, 0.8), 2.5]) * unit
    layer.capsule(np.stack([at + wrist @ turn, elbow]), 0.8 * unit, skin * rng.uniform(0.85, 1.0))
    broad = np.array([(x * 1.9 * finger, y) for x, y in ((-0.7, 0), (0.7, 0))])
    for x, _ in broad:
        palm = np.array([[x, reach + 0.15 * unit], [0.5 * x, wrist[1]]])
        layer.capsule(at + palm @ turn, 0.65 * unit, skin)
    for i in range(fingers):
        spread = (i - (fingers - 1) / 2) * finger * rng.uniform(0.9, 1.15)
        tip = np.array([spread * 1.1, reach - rng.uniform(0.75, 1.05) * unit])
        bend = np.array([spread + rng.normal(0, 0.03) * unit, (tip[1] + reach) / 2])
        root = np.array([spread, reach + 0.1 * unit])
        layer.capsule(
            at + np.stack([root, bend, tip]) @ turn, finger, skin * rng.uniform(0.95, 1.1)
        )


def _cup(
    layer: _Layer, at: Points, unit: float, skin: FloatImage, rng: np.random.Generator
) -> None:
    """A mug, paper cup or glass tipped towards the mouth, held by a few fingers."""
    turn = _turn(rng.uniform(-30, 30))
    top, bottom = rng.uniform(0.4, 0.6) * unit, rng.uniform(0.3, 0.5) * unit
    tall = rng.uniform(0.8, 1.3) * unit
    colour = _any(rng)
    for share, shade in ((1.0, 0.75), (0.8, 0.92), (0.45, 1.05)):
        body = np.array([[-top, 0], [top, 0], [bottom, tall], [-bottom, tall]]) * (share, 1)
        layer.polygon(at + body @ turn, colour * np.float32(shade))
    if rng.random() < 0.6:
        band, lid = _any(rng), np.array([[-top, 0], [top, 0], [top, 0.15 * tall]])
        lid = np.vstack([lid, [-top, 0.15 * tall]]) * (1.05, 1)
        layer.polygon(at + lid @ turn, band)
    if rng.random() < 0.7:
        side = rng.choice([-1.0, 1.0])
        for i in range(3):
            height = tall * (0.35 + 0.22 * i)
            finger = np.array([[side * 1.3 * top, height], [-side * 0.3 * top, height * 0.97]])
            layer.capsule(at + finger @ turn, 0.22 * unit, skin)


def _phone(
    layer: _Layer, at: Points, unit: float, skin: FloatImage, rng: np.random.Generator
) -> None:
    """A telephone's back, upright or on its side, with fingers round it."""
    turn = _turn(rng.uniform(-25, 25) + (90 if rng.random() < 0.3 else 0))
    wide, tall = rng.uniform(0.5, 0.6) * unit, rng.uniform(1.0, 1.2) * unit
    colour = _any(rng, 0.02, 0.4) if rng.random() < 0.7 else _any(rng)
    body = np.array([[-wide, -tall], [wide, -tall], [wide, tall], [-wide, tall]])
    shift = np.array([0, 0.45 * unit])
    layer.polygon(at + shift + body @ turn, colour)
    layer.polygon(at + shift + (body * 0.93) @ turn, colour * np.float32(1.15))
    lens = np.array([-0.6 * wide, -0.8 * tall])
    layer.ball(at + shift + lens @ turn, 0.09 * unit, np.float32([0.05, 0.05, 0.06]))  # type: ignore[arg-type]
    side = rng.choice([-1.0, 1.0])
    for i in range(int(rng.integers(2, 5))):
        height = tall * (-0.1 + 0.26 * i)
        finger = np.array([[side * 1.4 * wide, height + 0.1 * unit], [side * 0.35 * wide, height]])
        layer.capsule(at + shift + finger @ turn, 0.21 * unit, skin)


def _microphone(
    layer: _Layer, at: Points, unit: float, skin: FloatImage, rng: np.random.Generator
) -> None:
    """A foam or wire ball on a stick, held from below."""
    lean = rng.uniform(-0.9, 0.9) * unit
    head = at + np.array([lean * 0.25, rng.uniform(0.0, 0.5) * unit])
    foot = head + np.array([lean, 2.5 * unit])
    dark = _any(rng, 0.03, 0.3)
    layer.capsule(np.stack([head, foot]), rng.uniform(0.2, 0.3) * unit, dark)
    grip = head + (foot - head) * rng.uniform(0.4, 0.7)
    layer.ball(grip, 0.42 * unit, skin)
    ball = dark if rng.random() < 0.6 else _any(rng)
    layer.ball(head, rng.uniform(0.25, 0.5) * unit, ball)


def _food(
    layer: _Layer, at: Points, unit: float, skin: FloatImage, rng: np.random.Generator
) -> None:
    """Something round or long, brown, red or green, bitten into and held by fingers."""
    warm = np.array([rng.uniform(0.4, 0.85), rng.uniform(0.2, 0.65), rng.uniform(0.08, 0.3)])
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = unit * rng.uniform(0.3, 0.55) * (1 + rng.normal(0, 0.06, 24))
    ring = np.stack([np.cos(angle), rng.uniform(0.5, 1) * np.sin(angle)], 1) * radius[:, None]
    turn = _turn(rng.uniform(-40, 40))
    for share, shade in ((1.0, 0.75), (0.85, 0.95), (0.5, 1.1)):
        layer.polygon(at + (ring * share) @ turn, (warm * shade).astype(np.float32))
    side = rng.choice([-1.0, 1.0])
    for i in range(2):
        tip = at + np.array([side * 0.2 * unit, (0.25 + 0.25 * i) * unit])
        root = tip + np.array([side * 0.7, 0.8]) * unit
        layer.capsule(np.stack([root, tip]), 0.24 * unit, skin)
