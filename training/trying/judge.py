"""What the ``try`` page shows of an upload: a judged picture, or an annotated clip.

The device's own code does the work: its sources read the file, its pipeline judges it and its
annotation draws it, exactly as ``python -m edge_app replay`` does.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge_app.domain import Face, Frame, Image, Observation
from edge_app.errors import OutputError, SourceUnreadableError
from edge_app.replay import Replay, Viewer, replay, replay_pipeline
from edge_app.settings import Settings
from edge_app.sources import open_source
from edge_app.sources.images import IMAGE_SUFFIXES
from edge_app.vision.annotate import annotate
from edge_app.vision.bundle import Card
from edge_app.vision.classifier import Classifier
from edge_app.vision.geometry import square_crop

CLIP_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm")
"""Clips that the page takes; what is in them, FFmpeg must be able to decode."""

SHOWN_SIDE = 960
"""An annotated clip is shown at most this large, in pixels of its longer side."""

CODEC, CLIP_FORMAT = "VP80", ".webm"
"""OpenCV's wheels encode no H.264, and browsers do not play the MPEG-4 of ``--annotate``."""

Progress = Callable[[float], None]
"""Is told the fraction of a clip that is done, 0..1."""


@dataclass(frozen=True, slots=True)
class JudgedPicture:
    """A picture with what the pipeline says of it.

    Attributes:
        image: As uploaded, upright, RGB uint8.
        annotated: The same with boxes, words and the signal.
        observation: Faces and the signal.
        card: The classifier's.
    """

    image: Image
    annotated: Image
    observation: Observation
    card: Card

    def crop(self, face: Face) -> Image:
        """The part of the picture that the classifier sees, in its input size."""
        return square_crop(self.image, face.box, self.card.crop_margin, self.card.input_width)


@dataclass(frozen=True, slots=True)
class JudgedClip:
    """A clip with what the pipeline says of it: the annotated copy (WebM) and the signals."""

    content: bytes
    replay: Replay


class _Keeper:
    """Keeps the last frame."""

    seen: tuple[Frame, Observation]

    def add(self, frame: Frame, observation: Observation) -> bool:
        self.seen = frame, observation
        return True


class BrowserClip:
    """Writes annotated frames to a video that every browser plays.

    Args:
        path: A ``.webm`` file.
        fps: Frames per second.

    Raises:
        OutputError: This OpenCV cannot encode it (on the first frame).
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None

    def add(self, frame: Frame, observation: Observation) -> bool:
        image = _shrink(annotate(frame.image, observation))
        if self._writer is None:
            size = (image.shape[1], image.shape[0])
            codec = cv2.VideoWriter.fourcc(*CODEC)
            self._writer = cv2.VideoWriter(str(self._path), codec, self._fps, size)
            if not self._writer.isOpened():
                raise OutputError(f"{self._path.name}: this OpenCV cannot write {CODEC} clips")
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return True

    def close(self) -> None:
        """End the file; a second call does nothing."""
        if self._writer is not None:
            self._writer.release()


class _Teller:
    """Tells how far a clip is."""

    def __init__(self, frames: int | None, progress: Progress) -> None:
        self._frames, self._progress = frames, progress

    def add(self, frame: Frame, observation: Observation) -> bool:
        if self._frames:
            self._progress(min(1.0, (frame.index + 1) / self._frames))
        return True


def judge(
    content: bytes, name: str, settings: Settings, progress: Progress
) -> JudgedPicture | JudgedClip:
    """Judge an uploaded picture or clip with the models that the settings name.

    Args:
        content: The file.
        name: Its name; the suffix tells what it is.
        settings: The kiosk's.
        progress: Is told how far a clip is.

    Raises:
        SourceUnreadableError: It is no picture or clip, or it is damaged. The message names
            the upload, not where it was kept.
        KioskError: A bundle cannot be used.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in (*IMAGE_SUFFIXES, *CLIP_SUFFIXES):
        raise SourceUnreadableError(
            f"{name}: neither a picture ({', '.join(IMAGE_SUFFIXES)}) "
            f"nor a clip ({', '.join(CLIP_SUFFIXES)})"
        )
    with tempfile.TemporaryDirectory(prefix="mask-kiosk-try-") as folder:
        file = Path(folder) / safe_name(name)
        file.write_bytes(content)
        try:
            if suffix in IMAGE_SUFFIXES:
                return _judge_picture(file, settings)
            return _judge_clip(file, settings, progress)
        except SourceUnreadableError as error:
            line = str(error).replace(f"source {folder}/", "").replace(f"{folder}/", "")
            raise SourceUnreadableError(line) from None


def safe_name(name: str) -> str:
    """The file name of an upload with nothing in it that a path or Markdown would act on."""
    return re.sub(r"[^\w.-]", "-", Path(name).name.replace("\\", "-")).lstrip(".-") or "upload"


def _judge_picture(file: Path, settings: Settings) -> JudgedPicture:
    keeper, pipeline = _Keeper(), replay_pipeline(settings)
    with open_source(str(file), settings.source) as source:
        replay(source, pipeline, [keeper])
    frame, observation = keeper.seen
    assert isinstance(pipeline.classifier, Classifier)
    card = pipeline.classifier.bundle.card
    return JudgedPicture(frame.image, annotate(frame.image, observation), observation, card)


def _judge_clip(file: Path, settings: Settings, progress: Progress) -> JudgedClip:
    target = file.with_name(f"annotated{CLIP_FORMAT}")
    with open_source(str(file), settings.source) as source:
        browser = BrowserClip(target, source.fps)
        viewers: list[Viewer] = [browser, _Teller(source.frame_count, progress)]
        try:
            done = replay(source, replay_pipeline(settings), viewers)
        finally:
            browser.close()
    return JudgedClip(target.read_bytes(), done)


def _shrink(image: Image) -> Image:
    """A picture that is at most :data:`SHOWN_SIDE` pixels wide and high."""
    scale = SHOWN_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
