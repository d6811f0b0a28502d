"""Where frames come from: one string selects a camera, a video or a folder of images."""

from __future__ import annotations

import re
from pathlib import Path

from edge_app.errors import SourceNotFoundError, SourceUnreadableError
from edge_app.quiet import quieten_opencv
from edge_app.settings import SourceSettings
from edge_app.settings_rules import without_password
from edge_app.sources.base import FrameSource
from edge_app.sources.camera import NETWORK_SCHEMES, DeviceCamera, NetworkCamera
from edge_app.sources.images import IMAGE_SUFFIXES, ImagesSource
from edge_app.sources.picamera import PiCamera
from edge_app.sources.video import VideoSource

__all__ = ["FrameSource", "open_source"]

PI_CAMERA = re.compile(r"picamera(?::(\d{1,2}))?", re.ASCII)
DEVICE = re.compile(r"/dev/video\d+", re.ASCII)
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

FORMS = "picamera, picamera:1, /dev/video0, rtsp://..., a video file or a folder of images"


def open_source(uri: str, settings: SourceSettings) -> FrameSource:
    """Open the source that a string names.

    Args:
        uri: ``picamera`` or ``picamera:1``, ``/dev/video0``, ``rtsp://...`` (also http),
            a video file, an image file, or a folder of images.
        settings: Size, rate, timeout and flip for cameras; ``settings.uri`` is not used.

    Returns:
        The open source; close it, or use it as a context manager.

    Raises:
        SourceNotFoundError: Nothing of that name exists.
        SourceUnreadableError: It exists but is empty, damaged, or not what it should be.
        SourceMissingDriverError: A Pi camera is named, but picamera2 is not installed.
        CameraLostError: The camera cannot be opened at the moment; ``CameraMissingError``
            where there is none.
    """
    quieten_opencv()
    if found := PI_CAMERA.fullmatch(uri):
        return PiCamera(int(found[1] or 0), settings)
    if DEVICE.fullmatch(uri):
        return DeviceCamera(uri, settings)
    if scheme := SCHEME.match(uri):
        if scheme[1].lower() not in NETWORK_SCHEMES:
            raise SourceUnreadableError(
                f"source {without_password(uri)}: {scheme[1]}:// is not supported; "
                f"allowed: {', '.join(NETWORK_SCHEMES)}"
            )
        return NetworkCamera(uri, settings)
    path = Path(uri)
    if path.is_dir():
        return ImagesSource.of_folder(path)
    if not path.exists():
        raise SourceNotFoundError(f"source {uri}: there is no such file; a source is {FORMS}")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImagesSource([path], str(path))
    return VideoSource(path)
