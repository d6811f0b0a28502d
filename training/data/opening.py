"""Open the pictures of a data set: decode, check, find faces, mark landmarks, scale."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_app.domain import Box, Image, MaskState
from edge_app.errors import DatasetError
from edge_app.vision.bundle import load_bundle
from edge_app.vision.detector import BundleDetector
from training.data.boxes import Found, central_square, detect_boxes, labelled_faces
from training.data.groups import Fingerprint, fingerprint
from training.data.landmarks import Landmarker
from training.data.pictures import average_down, read_picture
from training.data.samples import Dataset, Problem, Sample, Severity, all_lost, settle
from training.data.splits import Split
from training.data.store import FaceRecord, Record

log = logging.getLogger(__name__)

IN_FLIGHT = 32
"""Pictures opened ahead of the writer at most, which bounds the memory."""

PROGRESS_SECONDS = 10.0
"""How often a long run says where it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """A usable picture. ``record`` still lacks its place in the store, its group and split."""

    image: Image
    record: Record
    print: Fingerprint


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """One sample after its picture was opened; without ``content`` it is unusable."""

    file: str
    problems: list[Problem]
    sha256: str = ""
    content: Content | None = None


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens samples, from several threads at once: every thread has its own models.

    Attributes:
        max_side: Pictures with a longer side are scaled down to it.
        boxes: Machine-made boxes of class-folder pictures by name; None without a file of them.
        detector: Bundle that finds the faces of class-folder pictures without boxes.
        landmarks: YuNet's ``.onnx``, to mark five points on labelled faces.
    """

    max_side: int
    boxes: Mapping[str, list[Found]] | None = None
    detector: str | None = None
    landmarks: Path | None = None
    _models: threading.local = field(default_factory=threading.local)

    def load_models(self) -> None:
        """Open the models in this thread, if it has not yet.

        Raises:
            KioskError: One of them is missing or cannot be read.
        """
        if self.landmarks is not None and not hasattr(self._models, "landmarker"):
            self._models.landmarker = Landmarker(self.landmarks)
        if self.detector is not None and not hasattr(self._models, "detector"):
            self._models.detector = BundleDetector(load_bundle(self.detector, "detect"))

    def open(self, sample: Sample) -> Opened:
        """Open one sample; whatever is wrong with it is in the result's problems."""
        self.load_models()
        try:
            picture = read_picture(sample.path)
        except DatasetError as error:
            return Opened(sample.file, [Problem(sample.file, f"{error}; skipped")])
        height, width = picture.image.shape[:2]
        settled, problems = settle(sample, width, height)
        if sample.annotations and not settled:
            problems.append(all_lost(sample.file))
            return Opened(sample.file, problems, picture.sha256)
        faces: list[FaceRecord] = []
        for item in settled:
            if item.box is None:
                faces += self._find_faces(sample, picture.image, item.label, problems)
            else:
                faces.append(FaceRecord(item.box, item.label, item.difficult))
        if self.landmarks is not None:
            faces = [self._models.landmarker.mark(picture.image, face) for face in faces]
        scale = min(1.0, self.max_side / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = average_down(picture.image, *size) if scale < 1 else picture.image
        record = Record(
            dataset=sample.dataset,
            file=sample.file,
            sha256=picture.sha256,
            group=sample.file,
            split=Split.EXCLUDED,
            width=image.shape[1],
            height=image.shape[0],
            scale=scale,
            offset=0,
            faces=tuple(_scaled(face, scale) for face in faces),
        )
        content = Content(image, record, fingerprint(picture.image))
        return Opened(sample.file, problems, picture.sha256, content)

    def _find_faces(
        self, sample: Sample, image: Image, label: MaskState, problems: list[Problem]
    ) -> list[FaceRecord]:
        """Which face a class-folder picture's label is about."""
        height, width = image.shape[:2]
        found = [] if self.boxes is None else self.boxes.get(sample.file, [])
        if found or (self.boxes is not None and self.detector is None):
            return labelled_faces(label, found, "teacher", width, height)
        if self.detector is not None:
            found = detect_boxes(self._models.detector, image)
            return labelled_faces(label, found, "detector", width, height)
        note = "no --boxes and no --detector: the central square is taken for the face"
        problems.append(Problem(sample.file, note, Severity.NOTE))
        return [central_square(label, width, height)]


def open_all(dataset: Dataset, opener: Opener, pool: ThreadPoolExecutor) -> Iterator[Opened]:
    """Open a data set's samples, in order, and log how far it is."""
    began = said = time.monotonic()
    for number, opened in enumerate(_in_order(dataset.samples, opener, pool), start=1):
        yield opened
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            log.info("%s: %d of %d pictures", dataset.name, number, len(dataset.samples))
    log.info("%s: opened in %.1f s", dataset.name, time.monotonic() - began)


def _in_order(
    samples: Iterable[Sample], opener: Opener, pool: ThreadPoolExecutor
) -> Iterator[Opened]:
    """Like ``pool.map``, but with at most :data:`IN_FLIGHT` results waiting."""
    todo = iter(samples)
    waiting: deque[Future[Opened]] = deque()
    try:
        for sample in itertools.islice(todo, IN_FLIGHT):
            waiting.append(pool.submit(opener.open, sample))
        while waiting:
            result = waiting.popleft().result()
            for sample in itertools.islice(todo, 1):
                waiting.append(pool.submit(opener.open, sample))
            yield result
    finally:
        for future in waiting:
            future.cancel()


def _scaled(face: FaceRecord, scale: float) -> FaceRecord:
    box = Box(*(value * scale for value in face.box.as_tuple()))
    points = face.landmarks
    if points is not None:
        points = tuple((x * scale, y * scale) for x, y in points)
    return replace(face, box=box, landmarks=points)
