"""What a drawn object must share with the photo it is put into: light, focus, grain, colour.

Regions are (x0, y0, x1, y1) in whole pixels inside the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Image

FloatImage = NDArray[np.float32]
Region = tuple[int, int, int, int]

_WHITE_OVER_SKIN = 1.55
"""A white mask is about this much brighter than light skin under the same light."""

_LEAST_WHITE = 0.62
"""A white mask is rarely darker than this share of the picture's brightest parts."""


_BRIGHTEST = 46
"""Rank of the brightness, among 24 x 24 samples, that stands for the bright parts (92 %)."""

_SLOPE_LIMITS = (-0.45, 0.35)
"""Bounds of the light's change over the face, as logarithms."""

_LEAST_BLUR = 0.3
"""Sigma of the sharpest pictures: a sensor's pixel is a small box itself."""

_SLOPE_BLUR = 0.67
"""What central differences and anti-aliased drawing add to a measured sigma."""


def light_field(
    image: Image, skin_points: NDArray[np.float64], region: Region, exposure: float
) -> FloatImage:
    """Estimate how bright a white, matt surface would be before the face.

    A plane is fitted to the logarithm of the skin's brightness, so that side light on the
    face falls on the mask as well.

    Args:
        image: RGB uint8.
        skin_points: (N, 2) pixels, places where skin is expected.
        region: Where the light is wanted.
        exposure: Random factor around 1, for albedo nobody can know.

    Returns:
        Brightness 0..255 (and above) with the picture's colour cast, float32 (h, w, 3).
    """
    height, width = image.shape[:2]
    small = cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float32)
    columns = np.clip(skin_points[:, 0] / width * 24, 0, 23).astype(int)
    rows = np.clip(skin_points[:, 1] / height * 24, 0, 23).astype(int)
    samples = small[rows, columns]
    grey = samples @ np.array([0.299, 0.587, 0.114], np.float32) + 4
    centre, spread = skin_points.mean(0), skin_points.std(0) + 1e-6
    where = (skin_points - centre) / spread
    log_grey = np.log(grey)
    median = float(np.median(log_grey))
    rise = np.clip(log_grey - median, -0.7, 0.7)
    # A ridge keeps the plane flat where hair or a beard would tilt it.
    design = where.T @ where + 0.25 * len(where) * np.eye(2)
    slope = np.linalg.solve(design, where.T @ rise)

    whole = small.reshape(-1, 3)
    bright = float(np.partition(whole.max(axis=1), -_BRIGHTEST)[-_BRIGHTEST])
    level = float(np.exp(median)) * _WHITE_OVER_SKIN
    level = np.clip(level, _LEAST_WHITE * bright, max(bright, 80.0) * 1.05) * exposure

    x0, y0, x1, y1 = region
    along_x = slope[0] * (np.arange(x0, x1) - centre[0]) / spread[0]
    along_y = slope[1] * (np.arange(y0, y1) - centre[1]) / spread[1]
    row = level * np.exp(np.clip(along_x, *_SLOPE_LIMITS)).astype(np.float32)
    column = np.exp(np.clip(along_y, *_SLOPE_LIMITS)).astype(np.float32)

    mean = whole.mean(0) + 8
    cast = ((mean / mean.mean()) ** 0.3).astype(np.float32)
    result: FloatImage = column[:, None, None] * (row[:, None] * cast)[None]
    return result


def blur_sigma(image: Image, region: Region) -> float:
    """Estimate how blurred a part of a picture is, as a Gaussian's sigma in pixels.

    Blurring an edge of width s once more by 1 px lowers its slope by s / sqrt(s^2 + 1); the
    steepest slopes of the region are taken as edges (re-blur method, after Crete 2007).
    """
    x0, y0, x1, y1 = region
    grey = image[y0:y1, x0:x1, 1].astype(np.float32)
    if min(grey.shape) < 5:
        return _LEAST_BLUR
    slope, reblurred = (
        _slope(grey),
        _slope(np.asarray(cv2.GaussianBlur(grey, (0, 0), 1), np.float32)),
    )
    count = max(1, slope.size // 20)
    steepest = np.argpartition(slope, -count, axis=None)[-count:]
    total = float(slope.flat[steepest].sum())
    ratio = min(float(reblurred.flat[steepest].sum()) / max(total, 1e-3), 0.97)
    measured = ratio * ratio / (1 - ratio * ratio)
    return float(np.sqrt(np.clip(measured - _SLOPE_BLUR**2, _LEAST_BLUR**2, 16)))


def _slope(grey: FloatImage) -> FloatImage:
    across = grey[1:-1, 2:] - grey[1:-1, :-2]
    down = grey[2:, 1:-1] - grey[:-2, 1:-1]
    slope: FloatImage = np.abs(across) + np.abs(down)
    return slope


def noise_level(image: Image, region: Region) -> float:
    """Estimate a picture's grain: standard deviation in grey levels (Immerkaer 1996)."""
    x0, y0, x1, y1 = region
    grey = image[y0:y1, x0:x1, 1].astype(np.float32)
    if min(grey.shape) < 5:
        return 1.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(grey, -1, kernel)).ravel()
    middle = np.partition(response, response.size // 2)[response.size // 2]
    return float(np.clip(middle / 6 * 1.48, 0.3, 8))


def match_saturation(patch: FloatImage, image: Image) -> FloatImage:
    """Take the colour out of a patch as far as it is missing from the picture."""
    small = cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float32)
    chroma = float((small.max(axis=2) - small.min(axis=2)).mean())
    share = float(np.clip(chroma / 14, 0, 1))
    if share == 1:
        return patch
    grey = patch @ np.array([0.299, 0.587, 0.114], np.float32)
    result: FloatImage = grey[..., None] + share * (patch - grey[..., None])
    return result
