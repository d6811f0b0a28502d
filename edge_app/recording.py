"""Writes annotated frames to a video file or a folder of pictures, all or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2

from edge_app.domain import Image
from edge_app.errors import KioskError, OutputError, UsageError

VIDEO_SUFFIX = ".mp4"
"""The one container that is written; every OpenCV wheel can encode MPEG-4 into it."""

_CODEC = "mp4v"
_JPEG_QUALITY = 92


class VideoRecorder:
    """Writes RGB frames to an ``.mp4`` file, as a context manager.

    Frames go to a hidden file beside the target, which takes its name only when the block
    ends without an error; otherwise it is removed and the target stays as it was.

    Raises:
        UsageError: The name does not end in ``.mp4``.
        OutputError: The file cannot be written.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() != VIDEO_SUFFIX:
            raise UsageError(f"{path}: an annotated video must be named *{VIDEO_SUFFIX}")
        self.path = path
        self.frames = 0
        self._fps = fps
        self._partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{VIDEO_SUFFIX}")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def add(self, image: Image) -> None:
        """Append one frame; all must have the size of the first."""
        size = (image.shape[1], image.shape[0])
        if self._writer is None:
            self._writer, self._size = self._open(size), size
        if size != self._size:
            raise OutputError(
                f"{self.path}: frame {self.frames} is {size[0]}x{size[1]}, "
                f"the video is {self._size[0]}x{self._size[1]}; record it without --annotate"
            )
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def __enter__(self) -> Self:
        make_folder(self.path.parent)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.release()
        try:
            if kind is None and self.frames:
                _replace(self._partial, self.path)
        finally:
            self._partial.unlink(missing_ok=True)

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        codec = cv2.VideoWriter.fourcc(*_CODEC)
        writer = cv2.VideoWriter(str(self._partial), codec, self._fps, size)
        if not writer.isOpened():
            raise OutputError(
                f"{self.path}: cannot be written; is the folder writable, "
                "and was this OpenCV built with FFmpeg?"
            )
        return writer


def write_picture(path: Path, image: Image) -> None:
    """Write an RGB picture atomically, in the format its suffix names.

    Raises:
        OutputError: OpenCV cannot encode that suffix, or the file cannot be written.
    """
    try:
        pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        ok, data = cv2.imencode(path.suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    except cv2.error:
        ok = False
    if not ok:
        raise OutputError(f"{path}: OpenCV cannot write {path.suffix or 'suffixless'} pictures")
    write_atomically(path, data.tobytes())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        OutputError: The folder or the file cannot be written.
    """
    with replacing(path) as partial:
        partial.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden file beside ``path`` to write to; it takes that name if all went well.

    Raises:
        OutputError: The folder or the file cannot be written.
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        _replace(partial, path)
    except OSError as error:
        if isinstance(error, KioskError):
            raise
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and its parents.

    Raises:
        OutputError: It cannot be made, or a file is in the way.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot make this folder: {why_no_folder(path, error)}"
        ) from None


def why_no_folder(folder: Path, error: OSError) -> str:
    """Why a folder could not be made, in a few words: names the file that is in the way."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        for place in (folder, *folder.parents):
            if place.is_file():
                return f"{place} is a file"
    return why(error)


def why(error: OSError) -> str:
    """Why something could not be written, in a few words; h5py's errors bring a paragraph."""
    return os.strerror(error.errno) if error.errno else " ".join(str(error).split())


def _replace(partial: Path, path: Path) -> None:
    try:
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
