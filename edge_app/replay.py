"""Drives a recording through the pipeline and says what the light showed when.

The formats of the report and of ``expected.json`` are described in ``docs/replay.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edge_app.domain import Face, Frame, Observation
from edge_app.pipeline import Pipeline, build_pipeline
from edge_app.settings import Settings
from edge_app.sources import FrameSource
from edge_app.timeline import Span, timeline
from edge_app.vision.bundle import find_bundle, read_card
from edge_app.vision.yunet import is_yunet, model_hash

PIXEL_DIGITS = 2
PROBABILITY_DIGITS = 6
TIME_DIGITS = 6
"""Decimals in the report: finer than any of these figures is known."""


Bundles = Mapping[str, Mapping[str, str]]
"""What the report says about the models, see :func:`describe_bundles`."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What one recording gave.

    Attributes:
        source: The recording's name.
        frame_seconds: How long the last frame lasts.
        observations: One per frame, in order.
    """

    source: str
    frame_seconds: float
    observations: list[Observation] = field(default_factory=list)

    @property
    def pictures(self) -> bool:
        """Whether the source is a folder of images, each judged alone."""
        return any(seen.name is not None for seen in self.observations)

    @property
    def spans(self) -> list[Span]:
        """The timeline of signals."""
        return timeline(self.observations, self.frame_seconds)


class Viewer(Protocol):
    """Whatever wants every frame with what was seen in it."""

    def add(self, frame: Frame, observation: Observation) -> bool:
        """Take one frame; False asks the replay to end here."""


def play(source: FrameSource, pipeline: Pipeline) -> Iterator[tuple[Frame, Observation]]:
    """Every frame of a source with what the pipeline says about it.

    Frames that carry a file name (a folder of images) are judged alone, without tracking
    or hold; all others as one clip.
    """
    while (frame := source.read()) is not None:
        alone = frame.name is not None
        yield frame, pipeline.judge_alone(frame) if alone else pipeline.step(frame)


def replay(source: FrameSource, pipeline: Pipeline, viewers: Sequence[Viewer] = ()) -> Replay:
    """Run one recording through a pipeline.

    Args:
        source: The recording, open and at its beginning.
        pipeline: A fresh one, see :func:`replay_pipeline`.
        viewers: Get every frame as it is judged; any of them can end the replay.

    Raises:
        SourceUnreadableError: The source is damaged.
    """
    done = Replay(source.name, 1 / source.fps)
    for frame, observation in play(source, pipeline):
        done.observations.append(observation)
        wishes = [viewer.add(frame, observation) for viewer in viewers]
        if not all(wishes):
            break
    return done


def replay_pipeline(settings: Settings) -> Pipeline:
    """A fresh pipeline in which time stands still for the classifier's budget.

    So every face is judged, and the result does not depend on the machine's speed. The
    timings in its observations are all 0.

    Raises:
        KioskError: A bundle is missing or damaged, or there is no TFLite runtime.
    """
    return build_pipeline(settings, timer=_frozen_timer)


def describe_bundles(settings: Settings) -> Bundles:
    """The two models by task, ``detect`` and ``classify``: their ``name`` and ``sha256``."""
    names = {"detect": settings.detector.bundle, "classify": settings.classifier.bundle}
    return {task: _describe(name) for task, name in names.items()}


def _describe(name: str) -> dict[str, str]:
    if is_yunet(name):
        return {"name": Path(name).stem, "sha256": model_hash(Path(name))}
    card = read_card(find_bundle(name))
    return {"name": card.name, "sha256": card.sha256}


def report(done: Replay, bundles: Bundles) -> dict[str, Any]:
    """The report of one recording, ready for JSON (format: ``docs/replay.md``)."""
    return {
        "source": done.source,
        "bundles": bundles,
        "frames": [_frame_entry(seen, done.observations[0].time) for seen in done.observations],
    }


def report_text(replays: Sequence[Replay], bundles: Bundles) -> str:
    """The report as JSON text: an object for one recording, a list for several."""
    reports = [report(done, bundles) for done in replays]
    return json.dumps(reports[0] if len(reports) == 1 else reports, indent=1) + "\n"


def _frozen_timer() -> float:
    return 0.0


def _frame_entry(seen: Observation, origin: float) -> dict[str, Any]:
    place: dict[str, Any] = {"file": seen.name}
    if seen.name is None:
        place = {"time": round(seen.time - origin, TIME_DIGITS)}
    faces = [_face_entry(face) for face in seen.faces]
    return {"index": seen.frame_index, **place, "signal": seen.signal.value, "faces": faces}


def _face_entry(face: Face) -> dict[str, Any]:
    verdict = face.verdict
    probabilities = {} if verdict is None else verdict.probabilities
    return {
        "box": [round(v, PIXEL_DIGITS) for v in face.box.as_tuple()],
        "score": round(face.score, PROBABILITY_DIGITS),
        "state": None if verdict is None or verdict.state is None else verdict.state.value,
        "probabilities": {
            state.value: round(p, PROBABILITY_DIGITS) for state, p in probabilities.items()
        },
    }
