"""Videos and pictures: damaged containers and codecs, read to their end like ``replay`` does."""

from __future__ import annotations

import math
import random
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from edge_app.domain import Frame, Image
from edge_app.errors import KioskError
from edge_app.pipeline import build_pipeline
from edge_app.settings import Settings, SourceSettings, replace_settings
from edge_app.sources import open_source
from tests.fuzz.mutation import Mutator
from tests.fuzz.target import Target, Violation, Visit, checked_message, mutated

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
DEMO = ROOT / "edge_app" / "assets" / "demo.mp4"

CLIPS = (
    ("mp4v", ".mp4"),
    ("mp4v", ".mov"),
    ("MJPG", ".avi"),
    ("FFV1", ".avi"),
    ("FFV1", ".mkv"),
    ("VP80", ".webm"),
    ("VP90", ".mkv"),
    ("mpg2", ".ts"),
)
"""Codec and container of the clips that OpenCV writes for this: 16 pictures of 64x48 pixels."""

PICTURES = (".png", ".jpg", ".bmp", ".webp", ".tif")

FRAMES, WIDTH, HEIGHT, FPS = 16, 64, 48, 15

DEMOS = 0.02
"""Share of cases that damage the demo's clip, H.264: it takes twenty times as long."""

MANY = 20_000
"""More frames than this cannot come from any of the samples."""

LONGEST_GAP_S = 3600.0
"""No recording has a longer hole between two frames; the kiosk would wait for the second."""

STEPS = 2
"""Frames of each case that go through the pipeline."""

WORDS = (
    *(b"moov", b"mdat", b"trak", b"stts", b"stsz", b"stco", b"ctts", b"elst", b"mvhd", b"free"),
    *(
        b"RIFF",
        b"LIST",
        b"idx1",
        b"strf",
        b"strh",
        b"00dc",
        b"\x1a\x45\xdf\xa3",
        b"\x18\x53\x80\x67",
    ),
    *(b"\0\0\1", b"\0\0\1\xb3", b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"IHDR", b"IDAT", b"G"),
    *(b"\x01\xff\xff\xff\xff\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\1", b"acTL", b"Exif\0\0"),
)


class Videos(Target):
    """Reads each file to its end; a few frames go through the pipeline."""

    name: ClassVar[str] = "videos"

    def open(self) -> None:
        self._folder = Path(tempfile.mkdtemp())
        self._samples = _samples(self._folder)
        self._mutators = [Mutator([content], WORDS) for _, content in self._samples]
        changes = {
            "detector.bundle": str(DATA / "tiny_detector.tflite"),
            "classifier.bundle": str(DATA / "tiny_classifier.tflite"),
        }
        self._pipeline = build_pipeline(replace_settings(Settings(), changes))

    def close(self) -> None:
        shutil.rmtree(self._folder)

    def cases(self, seed: int, start: int, count: int, visit: Visit) -> None:
        mutated(self._make, seed, start, count, visit)

    def _make(self, chance: random.Random) -> bytes:
        """One byte that says which sample it was, then the file."""
        number = 0 if chance.random() < DEMOS else chance.randrange(1, len(self._samples))
        return bytes([number]) + self._mutators[number].damage(chance)

    def judge(self, content: bytes) -> str:
        suffix, sample = self._samples[content[0] % len(self._samples)]
        path = self._folder / f"case{suffix}"
        path.write_bytes(content[1:])
        try:
            frames = self._read(path)
        except KioskError as error:
            return checked_message(error)
        whole = 1 if suffix in PICTURES else FRAMES
        if content[1:] == sample:
            return "read, unchanged"
        return "read" if frames >= whole else "read, fewer frames"

    def _read(self, path: Path) -> int:
        """How many frames there were."""
        before = -1.0
        count = 0
        with open_source(str(path), SourceSettings()) as source:
            if not (math.isfinite(source.fps) and source.fps > 0):
                raise Violation("a frame rate that is none", str(source.fps))
            for frame in source:
                _check_frame(frame, count, before)
                before = frame.time
                count += 1
                if count <= STEPS:
                    self._pipeline.step(frame)
                if count > MANY:
                    raise Violation("frames without end", path.suffix)
        if count == 0:
            raise Violation("no frame and no error", path.suffix)
        return count


def _check_frame(frame: Frame, index: int, before: float) -> None:
    image = frame.image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise Violation("a frame that is no RGB picture", f"{image.dtype} {image.shape}")
    if frame.index != index:
        raise Violation("a wrong index", f"{frame.index} instead of {index}")
    if not (math.isfinite(frame.time) and frame.time > before):
        raise Violation("a time that does not move on", f"{frame.time} after {before}")
    if index and frame.time - before > LONGEST_GAP_S:
        raise Violation("a hole of more than an hour", f"{frame.time} after {before}")


def _samples(folder: Path) -> list[tuple[str, bytes]]:
    """Suffix and content; the demo's clip comes first."""
    moving = [np.roll(_picture(), 3 * i, axis=1) for i in range(FRAMES)]
    samples = [(DEMO.suffix, DEMO.read_bytes())]
    for codec, suffix in CLIPS:
        path = folder / f"sample{suffix}"
        fourcc = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, FPS, (WIDTH, HEIGHT))
        if not writer.isOpened():
            raise RuntimeError(f"OpenCV cannot write {codec} into {suffix}")
        for image in moving:
            writer.write(image)
        writer.release()
        samples.append((suffix, path.read_bytes()))
    for suffix in PICTURES:
        ok, content = cv2.imencode(suffix, _picture())
        if not ok:
            raise RuntimeError(f"OpenCV cannot write {suffix}")
        samples.append((suffix, content.tobytes()))
    return samples


def _picture() -> Image:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT))  # type: ignore[return-value]


TARGET = Videos
