"""An average head in three dimensions, and the camera that sees it where a face is.

Head frame: x to the picture's right, y down, z towards the camera; the origin is the middle
between the eyes, the unit the distance from there to the middle of the mouth (about 66 mm).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Landmarks = NDArray[np.float32]
"""(5, 2) pixels: right eye, left eye, nose tip, right and left mouth corner (the person's
right, the picture's left), as ``cv2.FaceDetectorYN`` gives them."""

Points = NDArray[np.float64]


_HEAD_LANDMARKS = np.array(
    [[-0.48, 0, 0], [0.48, 0, 0], [0, 0.58, 0.45], [-0.38, 1, 0], [0.38, 1, 0]], np.float64
)
"""The five landmarks on an average adult head; only the nose tip leaves the plane z = 0, so
its place alone sets the camera's z column."""

_FIT = np.linalg.pinv(np.hstack([_HEAD_LANDMARKS, np.ones((5, 1))]))

PROFILE_Y = np.array([-0.2, 0.15, 0.58, 0.74, 0.9, 1.12, 1.3, 1.55, 1.72, 1.9, 2.4])
PROFILE_Z = np.array([0.08, 0.20, 0.45, 0.22, 0.24, 0.22, 0.12, 0.16, 0.05, -0.3, -0.5])
SIDE_X = np.array([1.0, 1.0, 0.98, 0.96, 0.93, 0.88, 0.83, 0.74, 0.68, 0.62, 0.62])
"""Front line (z) and half width (x) of an average head's lower face, chin and neck by y."""

SIDE_Z = -0.5
"""Depth of a mask's side edges, in front of the ears."""

EAR = np.array([[1.04, 0.12, -0.95], [1.02, 0.55, -0.88]])
"""Upper and lower root of the left ear, where the loops go; mirrored for the right."""

SKIN = np.array(
    [
        [x, y, z]
        for y, z in ((-0.35, 0.1), (0.35, 0.1), (0.65, 0.1), (1.15, 0.1))
        for x in (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6)
    ]
)
"""Where skin is expected: forehead, cheeks, nose, chin."""


def fit_camera(landmarks: Landmarks) -> Points:
    """Fit the affine camera that sees the average head's landmarks where they are.

    Args:
        landmarks: (5, 2) pixels.

    Returns:
        (4, 2): ``[x, y, z, 1] @ camera`` is a point's place in the picture.

    Raises:
        ValueError: The landmarks are not (5, 2) finite numbers, or span no area.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError(f"expected 5 finite landmarks (x, y), got {points.tolist()}")
    camera: Points = _FIT @ points
    if abs(np.linalg.det(camera[:2])) < 1:
        raise ValueError(f"landmarks span no area: {points.tolist()}")
    return camera


def project(points: Points, camera: Points) -> Points:
    """Head frame (..., 3) -> picture (..., 2)."""
    return np.asarray(points @ camera[:3] + camera[3], np.float64)
