"""What a cheap camera does to a picture, as random augmentation.

Each effect takes an RGB uint8 picture H x W x 3 and a generator, and returns a new picture
of the same shape. :func:`degrade` strings them together in the order in which a camera
applies them: light, optics, resolution, sensor, compression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.domain import Image
from edge_app.vision.geometry import resize

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class CameraRanges:
    """How strong the effects may be; each is applied with its own probability.

    Attributes:
        gamma: Exponent range around 1 is ``1/gamma..gamma``.
        colour_cast: Each channel's gain lies within ``1 +- colour_cast``.
        contrast: Contrast factor lies within ``1 +- contrast``.
        grey: Probability of a picture without colour (night mode).
        blur: Largest Gaussian sigma in pixels; motion blur is up to 4 times as long.
        noise: Largest standard deviation of the noise, in grey levels.
        min_side: The picture may be scaled down to this many pixels, and up again.
        jpeg_quality: Lowest JPEG quality.
        occlusion: Probability of a plain rectangle over a part of the picture.
    """

    gamma: float = 1.8
    colour_cast: float = 0.2
    contrast: float = 0.3
    grey: float = 0.04
    blur: float = 1.5
    noise: float = 10.0
    min_side: int = 16
    jpeg_quality: int = 25
    occlusion: float = 0.15


def degrade(image: Image, rng: Rng, ranges: CameraRanges) -> Image:
    """A picture as a cheap camera might have taken it."""
    image = light(image, rng, ranges)
    if rng.random() < ranges.occlusion:
        image = occlude(image, rng)
    if rng.random() < 0.3:
        image = blur(image, rng, ranges.blur)
    if rng.random() < 0.6:
        image = lower_resolution(image, rng, ranges.min_side)
    if rng.random() < 0.4:
        image = noise(image, rng, ranges.noise)
    if rng.random() < 0.4:
        image = jpeg(image, rng, ranges.jpeg_quality)
    return image


def light(image: Image, rng: Rng, ranges: CameraRanges) -> Image:
    """Gamma, contrast and a colour cast, through one table per channel."""
    gamma = math.exp(rng.uniform(-1, 1) * math.log(ranges.gamma))
    contrast = 1 + rng.uniform(-1, 1) * ranges.contrast
    gains = 1 + rng.uniform(-1, 1, 3) * ranges.colour_cast
    levels = (np.arange(256) / 255.0) ** gamma
    levels = (levels - 0.5) * contrast + 0.5
    table = np.clip(levels[:, None] * gains * 255, 0, 255).astype(np.uint8)[None]
    lit: Image = cv2.LUT(image, table)  # type: ignore[assignment]
    if rng.random() < ranges.grey:
        return np.repeat(cv2.cvtColor(lit, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    return lit


def blur(image: Image, rng: Rng, strongest: float) -> Image:
    """Out of focus, or moving while the shutter is open."""
    if rng.random() < 0.5:
        sigma = rng.uniform(0.3, strongest)
        return cv2.GaussianBlur(image, (0, 0), sigma)  # type: ignore[return-value]
    length = int(rng.integers(2, max(3, round(4 * strongest))))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, math.pi)
    centre = (length - 1) / 2
    reach = np.array([math.cos(angle), math.sin(angle)]) * centre
    start, end = np.round(centre - reach).astype(int), np.round(centre + reach).astype(int)
    cv2.line(kernel, tuple(map(int, start)), tuple(map(int, end)), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())  # type: ignore[return-value]


def noise(image: Image, rng: Rng, strongest: float) -> Image:
    """Sensor noise, the same on all channels or coloured."""
    sigma = rng.uniform(1, strongest)
    channels = 3 if rng.random() < 0.7 else 1
    grain = rng.standard_normal((*image.shape[:2], channels), np.float32) * sigma
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def lower_resolution(image: Image, rng: Rng, min_side: int) -> Image:
    """Scaled down and up again: a face far from the camera, or a bad digital zoom."""
    height, width = image.shape[:2]
    side = min(height, width)
    if side <= min_side:
        return image
    factor = math.exp(rng.uniform(math.log(min_side / side), 0))
    small = resize(image, max(1, round(width * factor)), max(1, round(height * factor)))
    how = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LINEAR)[int(rng.integers(3))]
    return cv2.resize(small, (width, height), interpolation=how)  # type: ignore[return-value]


def jpeg(image: Image, rng: Rng, lowest_quality: int) -> Image:
    """Compression artefacts."""
    quality = int(rng.integers(lowest_quality, 96))
    _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)  # type: ignore[return-value]


def occlude(image: Image, rng: Rng) -> Image:
    """A rectangle of one colour or of noise over a part (random erasing, Zhong et al. 2017).

    At most a sixth of the picture, so that a face keeps the parts that decide its label.
    """
    height, width = image.shape[:2]
    area = rng.uniform(0.02, 0.16) * height * width
    aspect = math.exp(rng.uniform(-1, 1))
    h, w = min(height, int(math.sqrt(area * aspect))), min(width, int(math.sqrt(area / aspect)))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    image = image.copy()
    if rng.random() < 0.7:
        image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    else:
        image[y : y + h, x : x + w] = rng.integers(0, 256, (h, w, 3))
    return image
