"""A folder of images as a source: sorted by name, each picture on its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from edge_app.domain import Frame, Image
from edge_app.errors import SourceNotFoundError, SourceUnreadableError
from edge_app.sources.base import FrameSource, bgr_to_rgb, require_sane_shape

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"


class ImagesSource(FrameSource):
    """Image files one after the other; a frame's time is its index."""

    live = False
    fps = 1.0

    def __init__(self, files: Sequence[Path], name: str) -> None:
        """Open a list of files.

        Raises:
            SourceUnreadableError: The list is empty, or its first image cannot be read.
        """
        if not files:
            raise SourceUnreadableError(
                f"source {name}: holds no images ({', '.join(IMAGE_SUFFIXES)})"
            )
        self.name = name
        self.frame_count: int | None = len(files)
        self._files = list(files)
        self._next = 0
        self._first: Image | None = read_image(self._files[0])
        self.size = (self._first.shape[1], self._first.shape[0])

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """All images directly in a folder, sorted by name; other files are left alone.

        Raises:
            SourceUnreadableError: The folder cannot be listed or holds no images.
        """
        try:
            entries = sorted(folder.iterdir(), key=lambda path: path.name)
        except OSError as error:
            raise SourceUnreadableError(f"source {folder}: {error.strerror}") from None
        files = [e for e in entries if e.suffix.lower() in IMAGE_SUFFIXES and e.is_file()]
        return cls(files, str(folder))

    def read(self) -> Frame | None:
        if self._next >= len(self._files):
            return None
        index, path = self._next, self._files[self._next]
        image = self._first if self._first is not None else read_image(path)
        self._first = None
        self._next += 1
        return Frame(image, float(index), index, path.name)

    def close(self) -> None:
        self._files = []
        self._first = None


def read_image(path: Path) -> Image:
    """Decode one image file, upright as its EXIF data says.

    Returns:
        RGB uint8, H x W x 3.

    Raises:
        SourceNotFoundError: The file is missing.
        SourceUnreadableError: The file is empty, cut off, or not an image.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SourceNotFoundError(f"source {path}: there is no such file") from None
    except OSError as error:
        raise SourceUnreadableError(f"source {path}: {error.strerror}") from None
    if not content:
        raise SourceUnreadableError(f"source {path}: the file is empty (0 bytes)")
    if _jpeg_is_cut_off(content):
        raise SourceUnreadableError(f"source {path}: the JPEG is cut off: copy it again")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None  # e.g. more pixels than OpenCV accepts
    if image is None:
        raise SourceUnreadableError(f"source {path}: not an image that can be read")
    require_sane_shape(image, str(path))  # type: ignore[arg-type]
    return bgr_to_rgb(image)  # type: ignore[arg-type]


def _jpeg_is_cut_off(content: bytes) -> bool:
    """OpenCV fills the missing part of a JPEG with grey and says nothing; we look ourselves.

    A whole JPEG has an end marker behind its last scan. (An embedded thumbnail has its
    own end marker, but lies before the scan.)
    """
    if not content.startswith(JPEG_START):
        return False
    scan = content.rfind(JPEG_SCAN)
    return scan < 0 or content.find(JPEG_END, scan) < 0
