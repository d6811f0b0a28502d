"""One frame in, one :class:`Observation` out: detect, classify, track, decide.

Pure and single-threaded: no input or output and no clock of its own. Time comes with the
frames; the timer that measures the stages is handed in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from edge_app.domain import Box, Face, Frame, Image, ModelVersion, Observation, Verdict
from edge_app.policy import Policy, wanted
from edge_app.settings import DetectorSettings, Settings
from edge_app.tracking import Tracker
from edge_app.vision.bundle import load_bundle
from edge_app.vision.classifier import Classifier
from edge_app.vision.detector import BundleDetector, Detector
from edge_app.vision.yunet import YuNet, is_yunet, model_hash

Timer = Callable[[], float]
"""Seconds from any starting point, never going back."""


class Judge(Protocol):
    """Anything that says how a face wears its mask."""

    def classify(self, image: Image, box: Box) -> Verdict:
        """Judge the face at ``box`` (pixels of ``image``)."""


@dataclass(slots=True)
class _Stopwatch:
    """Milliseconds per stage."""

    timer: Timer
    timings: dict[str, float] = field(default_factory=dict)
    _start: float = 0.0
    _lap: float = 0.0

    def __post_init__(self) -> None:
        self._start = self._lap = self.timer()

    def lap(self, stage: str) -> None:
        """Credit the time since the last lap to a stage."""
        now = self.timer()
        self.timings[stage] = (now - self._lap) * 1000
        self._lap = now

    def finish(self) -> Mapping[str, float]:
        """All stages and the ``total`` of this frame."""
        self.timings["total"] = (self._lap - self._start) * 1000
        return self.timings


class Pipeline:
    """Turns frames into observations. Not safe for use from two threads at once.

    Args:
        detector: Finds the faces.
        classifier: Judges one face at a time.
        settings: Sizes, budget, tracking and policy.
        timer: Seconds, for the time that the stages take.
        models: Which models those two are, for reports.

    Attributes:
        policy: What the light shows; :meth:`Policy.showing` may be asked from any thread.
    """

    def __init__(
        self,
        detector: Detector,
        classifier: Judge,
        settings: Settings,
        timer: Timer = time.perf_counter,
        models: tuple[ModelVersion, ...] = (),
    ) -> None:
        self.detector = detector
        self.classifier = classifier
        self.models = models
        self.policy = Policy(settings.policy, settings.classifier.min_face_px)
        self._settings = settings
        self._timer = timer
        self._tracker = Tracker(settings.tracking, settings.policy)
        self._newest = -math.inf
        self._now = -math.inf
        self._lag = 0.0

    def step(self, frame: Frame) -> Observation:
        """Take in the next frame of a source.

        Faces are judged within ``classifier.budget_ms``, at least one of them: who has
        waited longest for a verdict first, then the largest. A face left out has no
        verdict in this frame and comes earlier in the next.
        """
        watch = _Stopwatch(self._timer)
        now = self._steady(frame.time)
        faces = self._detect(frame)
        watch.lap("detect")
        waits = self._tracker.waits(faces, now)
        order = sorted(range(len(faces)), key=lambda i: (-waits[i], -faces[i].box.area))
        faces = self._classify(frame.image, faces, order, self._settings.classifier.budget_ms)
        watch.lap("classify")
        tracks = self._tracker.step(faces, now)
        signal, reason = self.policy.decide(tracks, now)
        watch.lap("track")
        return Observation(
            frame.index,
            frame.time,
            signal,
            reason,
            tuple(faces),
            tracks,
            frame.name,
            watch.finish(),
        )

    def judge_alone(self, frame: Frame) -> Observation:
        """The signal straight from this picture: every face judged, no memory, no hold.

        The observation has no tracks. Frames taken in by :meth:`step` are not affected.
        """
        watch = _Stopwatch(self._timer)
        faces = self._detect(frame)
        watch.lap("detect")
        order = sorted(range(len(faces)), key=lambda i: -faces[i].box.area)
        faces = self._classify(frame.image, faces, order, math.inf)
        watch.lap("classify")
        verdicts = [face.verdict for face in faces]
        signal, reason = wanted(
            [None if verdict is None else verdict.state for verdict in verdicts],
            undecided=sum(verdict is not None and verdict.state is None for verdict in verdicts),
            green=False,
        )
        watch.lap("track")
        return Observation(
            frame.index, frame.time, signal, reason, tuple(faces), (), frame.name, watch.finish()
        )

    def _steady(self, time: float) -> float:
        """The frame's time on a clock that stands still where the source's goes back.

        A looped video or a clock that was set back then neither loses the people in view
        nor holds a signal for as long as the jump was wide.
        """
        if time < self._newest:
            self._lag += self._newest - time
        self._newest = time
        self._now = max(self._now, time + self._lag)
        return self._now

    def _detect(self, frame: Frame) -> list[Face]:
        """Faces that are large enough, in pixels of ``frame.image``."""
        if frame.small is None:
            faces = self.detector.detect(frame.image)
        else:
            x = frame.image.shape[1] / frame.small.shape[1]
            y = frame.image.shape[0] / frame.small.shape[0]
            faces = [
                replace(f, box=Box(f.box.x0 * x, f.box.y0 * y, f.box.x1 * x, f.box.y1 * y))
                for f in self.detector.detect(frame.small)
            ]
        smallest = self._settings.detector.min_face_px
        return [face for face in faces if face.box.short_side >= smallest]

    def _classify(
        self, image: Image, faces: list[Face], order: Sequence[int], budget_ms: float
    ) -> list[Face]:
        """The faces with verdicts, as far as the budget reaches, in their given order."""
        smallest = self._settings.classifier.min_face_px
        judged = list(faces)
        begin, count = self._timer(), 0
        for i in order:
            if faces[i].box.short_side < smallest:
                continue
            spent = (self._timer() - begin) * 1000
            if count and spent + spent / count > budget_ms:
                break
            judged[i] = replace(faces[i], verdict=self.classifier.classify(image, faces[i].box))
            count += 1
        return judged


def build_pipeline(settings: Settings, timer: Timer = time.perf_counter) -> Pipeline:
    """A pipeline with the two model bundles that the settings name.

    Raises:
        BundleNotFoundError: A bundle is missing.
        BundleError: A bundle is damaged or for another task.
        InterpreterMissingError: No TFLite runtime is installed.
    """
    classify = settings.classifier
    detector = open_detector(settings.detector)
    classifier = Classifier(
        load_bundle(classify.bundle, "classify", classify.threads), classify.confidence_floor
    )
    models = (
        detector_version(detector),
        ModelVersion("classifier", classifier.bundle.card.name, classifier.bundle.card.version),
    )
    return Pipeline(detector, classifier, settings, timer, models)


def detector_version(detector: BundleDetector | YuNet) -> ModelVersion:
    """Which model a detector runs.

    Raises:
        BundleError: Its file cannot be read (any more).
    """
    if isinstance(detector, YuNet):
        return ModelVersion("detector", detector.path.stem, model_hash(detector.path))
    card = detector.bundle.card
    return ModelVersion("detector", card.name, card.version)


def open_detector(settings: DetectorSettings) -> BundleDetector | YuNet:
    """The detector that the settings name: a bundle, or YuNet by its ``.onnx`` file.

    Raises:
        BundleNotFoundError: Its file is missing.
        BundleError: Its file is damaged or holds another model.
        InterpreterMissingError: No TFLite runtime is installed.
    """
    if is_yunet(settings.bundle):
        return YuNet(Path(settings.bundle), settings.score_threshold)
    bundle = load_bundle(settings.bundle, "detect", settings.threads)
    return BundleDetector(bundle, settings.score_threshold)
