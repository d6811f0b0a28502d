"""Picture files: read once, hashed, checked for truncation, decoded to RGB."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_app.domain import Image
from edge_app.errors import DatasetError


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture (RGB uint8, turned upright by its EXIF data) and its file's hash."""

    image: Image
    sha256: str


def read_picture(path: Path) -> Picture:
    """Read and decode a picture file.

    Raises:
        DatasetError: It cannot be read, is truncated, or is not a picture.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}") from None
    if not content:
        raise DatasetError("the file is empty")
    if _is_truncated(content):
        raise DatasetError("the picture is truncated")
    try:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise DatasetError(f"not a picture that can be decoded ({error.err})") from None
    if bgr is None:
        raise DatasetError("not a picture that can be decoded")
    image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    return Picture(image, hashlib.sha256(content).hexdigest())


def average_down(image: Image, width: int, height: int) -> Image:
    """Scale a picture by area averaging: exact at any scale, where nobody waits for it.

    :func:`edge_app.vision.geometry.resize` is the device's fast way.
    """
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _is_truncated(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; decoders fill the missing part with grey."""
    if content.startswith(b"\xff\xd8"):
        # An end-of-image marker must follow the last start-of-scan marker; neither can
        # occur inside the compressed data, where every 0xff is followed by 0x00 or a restart.
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    if content.startswith(b"\x89PNG"):
        return b"IEND" not in content[-64:]
    return False
