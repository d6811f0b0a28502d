"""Masks drawn on photos of bare faces, worn rightly and in the usual wrong ways.

Real photos of badly worn masks are rare, so training draws them. The mask is a small
surface in a head-fixed 3-D frame (x to the picture's right, y down, z towards the camera;
the unit is the distance from the eyes' midpoint to the mouth's). An affine camera fitted
to the five landmarks projects it, which handles roll, yaw and pitch alike: a head turned
away foreshortens the far side, and the part that wraps round the head disappears. The
cloth (:mod:`training.data.cloth`) is bent over that surface, lit like the face beneath it,
softened to the picture's sharpness and given its noise.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.domain import Image
from training.data.cloth import (
    SWATCH_HEIGHT,
    SWATCH_WIDTH,
    Cloth,
    FloatImage,
    cloth_from_photo,
    draw_cloth,
)
from training.data.grids import bend, fill, lowered, soften, stroke
from training.data.head import EAR, SKIN, Landmarks, Points, fit_camera, project
from training.data.photo import blur_sigma, light_field, match_saturation, noise_level
from training.data.wear import STATE_OF_WEAR, Wear, draw_surface

__all__ = ["STATE_OF_WEAR", "Landmarks", "Wear", "cut_texture", "place_mask", "render_mask"]

_TEXTURE_PATCH = np.array([[-0.5, 0.75, 0.0], [0.5, 0.75, 0.0], [0.5, 1.4, 0.0], [-0.5, 1.4, 0.0]])
"""The part of a face that shows nothing but cloth when a mask is worn correctly."""

_MARGIN = 0.12
"""Room around the mask for its soft edge and shadow, in head units."""

_EXPOSURE = (1.06, 0.12)
"""Mean and deviation of the cloth's brightness relative to what the face's skin suggests."""

_FOCUS_SHARE = (0.7, 1.1)
"""Range of the mask's blur relative to the face's."""

_STRAP_WIDTH = 0.05
_SHADOW_DROP = 0.04
_SHADOW_BLUR = 0.07
"""Width of a loop, drop and blur of the mask's shadow on the face, in head units."""

_SHADOW_DEPTH = (0.1, 0.35)
"""Range of the share of light that the shadow takes."""

_TURNED_AWAY = 0.25
"""Yaw, as the nose tip's shift per unit of depth, from which on the far ear cannot be seen."""


def render_mask(
    image: Image,
    landmarks: Landmarks,
    wear: Wear,
    rng: np.random.Generator,
    texture: Image | None = None,
) -> Image:
    """Draw a mask on a bare face.

    Args:
        image: RGB uint8, H x W x 3; not changed.
        landmarks: (5, 2) pixels of ``image``, see :data:`Landmarks`.
        wear: How the mask is worn.
        rng: Draws kind, colour, fit, light and noise.
        texture: RGB uint8 photo of real mask cloth to use in place of a drawn one.

    Returns:
        A new RGB uint8 picture of the same size.

    Raises:
        ValueError: The landmarks are not (5, 2) finite numbers, or span no area.
    """
    cloth = draw_cloth(rng) if texture is None else cloth_from_photo(texture, rng)
    surface = draw_surface(wear, cloth.kind, rng)
    if wear is Wear.ONE_EAR and _is_hidden(float(surface[0, 0, 0]), fit_camera(landmarks)):
        surface[..., 0] *= -1
    return place_mask(image, landmarks, surface, cloth, rng, one_ear=wear is Wear.ONE_EAR)


def cut_texture(image: Image, landmarks: Landmarks) -> Image:
    """Cut the cloth out of a photo of a correctly worn mask, for :func:`render_mask`.

    Args:
        image: RGB uint8, a face with a mask from nose to chin.
        landmarks: (5, 2) pixels of ``image``.

    Returns:
        RGB uint8, the mask between nose tip and chin, flattened.

    Raises:
        ValueError: The landmarks are not (5, 2) finite numbers, or span no area.
    """
    corners = project(_TEXTURE_PATCH, fit_camera(landmarks)).astype(np.float32)
    size = (SWATCH_WIDTH, SWATCH_HEIGHT)
    flat = np.array([[0, 0], [size[0], 0], size, [0, size[1]]], np.float32)
    warp = cv2.getPerspectiveTransform(corners, flat)
    cut = cv2.warpPerspective(image, warp, size, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, np.uint8)


def place_mask(
    image: Image,
    landmarks: Landmarks,
    surface: Points,
    cloth: Cloth,
    rng: np.random.Generator,
    *,
    one_ear: bool = False,
) -> Image:
    """Draw a given mask of a given shape.

    Args:
        image: RGB uint8, H x W x 3; not changed.
        landmarks: (5, 2) pixels of ``image``.
        surface: (rows, columns, 3) points in the head frame, upper edge first.
        cloth: What it is made of.
        rng: Draws light, focus and grain.
        one_ear: Both loops hang from the one ear beside the mask.

    Returns:
        A new RGB uint8 picture of the same size.

    Raises:
        ValueError: The landmarks are not (5, 2) finite numbers, or span no area.
    """
    camera = fit_camera(landmarks)
    unit = float(np.linalg.norm(camera[1]))
    flat = project(surface, camera)
    straps = _straps(surface, camera, rng, one_ear=one_ear)
    region = _region(np.concatenate([flat.reshape(-1, 2), *straps]), _MARGIN * unit, image.shape)
    if region is None:
        return image.copy()
    x0, y0, x1, y1 = region
    patch = image[y0:y1, x0:x1].astype(np.float32)
    shape, origin = patch.shape[:2], np.array([x0, y0], np.float64)
    skin = project(SKIN, camera)
    face = _region(skin, 0, image.shape) or region
    light = light_field(image, skin, region, float(rng.normal(*_EXPOSURE)))
    softness = blur_sigma(image, face) * float(rng.uniform(*_FOCUS_SHARE))
    cover = soften(fill(flat - origin, shape), softness)
    loops = soften(stroke([s - origin for s in straps], _STRAP_WIDTH * unit, shape), softness)

    depth = float(rng.uniform(*_SHADOW_DEPTH))
    drop = soften(lowered(cover, max(1, round(_SHADOW_DROP * unit))), _SHADOW_BLUR * unit)
    patch *= 1 - depth * drop[..., None]
    strap = match_saturation(np.array(cloth.strap, np.float32) * light, image)
    patch += loops[..., None] * (strap - patch)

    lit = cloth.swatch * _relief(surface, rng)[..., None]
    drawn = soften(bend(lit, flat - origin, shape), softness) * light
    drawn += noise_level(image, face) * rng.standard_normal((*shape, 1), np.float32)
    patch += cover[..., None] * (match_saturation(drawn, image) - patch)
    out = image.copy()
    out[y0:y1, x0:x1] = np.clip(patch + 0.5, 0, 255).astype(np.uint8)
    return out


def _is_hidden(side: float, camera: Points) -> bool:
    """Whether the cheek at this x (negative: the picture's left) is turned well away."""
    yaw = camera[2] @ camera[0] / (camera[0] @ camera[0])
    return bool(np.sign(side) * yaw > _TURNED_AWAY)


def _straps(
    surface: Points, camera: Points, rng: np.random.Generator, *, one_ear: bool
) -> list[Points]:
    """Ear loops as polylines in the picture; those behind the head are left out."""
    if one_ear:
        side = np.sign(surface[0, 0, 0])
        ear = EAR * (side, 1, 1)
        ends = [(surface[0, 0], ear[0]), (surface[-1, 0], ear[1])]
    else:
        ends = []
        for column, side in ((0, -1.0), (-1, 1.0)):
            ear = EAR * (side, 1, 1)
            outward = project(ear.mean(0), camera) - project(surface[:, column].mean(0), camera)
            across = project(np.array([side, 0, 0]), camera) - camera[3]
            if outward @ across <= 0.05 * (across @ across):
                continue
            ends += [(surface[0, column], ear[0]), (surface[-1, column], ear[1])]
    sag = rng.uniform(-0.02, 0.06)
    lines = []
    for start, end in ends:
        k = np.linspace(0, 1, 6)[:, None]
        curve = start + (end - start) * k
        curve[:, 1] += sag * np.sin(np.pi * k[:, 0])
        lines.append(project(curve, camera))
    return lines


def _region(
    points: Points, margin: float, shape: tuple[int, ...]
) -> tuple[int, int, int, int] | None:
    low = np.floor(points.min(0) - margin).astype(int)
    high = np.ceil(points.max(0) + margin).astype(int)
    x0, y0 = max(0, int(low[0])), max(0, int(low[1]))
    x1, y1 = min(shape[1], int(high[0])), min(shape[0], int(high[1]))
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None


def _relief(surface: Points, rng: np.random.Generator) -> FloatImage:
    """Shade from the surface's own shape (Lambert plus ambient), swatch-sized, around 1."""
    down, across = np.asarray(np.gradient(surface, axis=(0, 1)))
    normal = np.cross(across, down)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
    normal *= np.sign(normal[..., 2:].mean() + 1e-9)
    lamp = np.array([rng.uniform(-0.5, 0.5), rng.uniform(-0.8, 0.0), 1.0])
    lambert = np.clip(normal @ (lamp / np.linalg.norm(lamp)), 0, 1)
    depth = float(rng.uniform(0.25, 0.6))
    shade = 1 - depth + depth * lambert / max(float(lambert.max()), 1e-6)
    size = (SWATCH_WIDTH, SWATCH_HEIGHT)
    shade = shade.astype(np.float32)
    return np.asarray(cv2.resize(shade, size, interpolation=cv2.INTER_CUBIC), np.float32)
