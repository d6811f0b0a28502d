"""The kiosk's vocabulary: small frozen values that every other module speaks in.

Nothing here imports the rest of the project. Times are seconds on whatever clock the
source uses (a monotonic clock for cameras, the media time for files); boxes are pixels
of the frame they were found in.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""RGB picture, shape (height, width, 3), dtype uint8."""


class MaskState(enum.StrEnum):
    """How a face wears its mask. The values are the label names used everywhere."""

    WITH_MASK = "with_mask"
    WITHOUT_MASK = "without_mask"
    INCORRECT_MASK = "incorrect_mask"


class Signal(enum.StrEnum):
    """What the light shows."""

    FAULT = "FAULT"
    NO_MASK = "NO_MASK"
    INCORRECT = "INCORRECT"
    COMPLIANT = "COMPLIANT"
    IDLE = "IDLE"

    @property
    def priority(self) -> int:
        """0 is the most urgent: of two signals the one with the lower priority wins."""
        return _PRIORITY[self]


_PRIORITY = {signal: rank for rank, signal in enumerate(Signal)}

SIGNAL_OF_STATE: Mapping[MaskState, Signal] = {
    MaskState.WITHOUT_MASK: Signal.NO_MASK,
    MaskState.INCORRECT_MASK: Signal.INCORRECT,
    MaskState.WITH_MASK: Signal.COMPLIANT,
}
"""The signal that one confirmed person in a given state asks for."""


@dataclass(frozen=True, slots=True)
class Box:
    """Axis-aligned rectangle in pixels: left, top, right, bottom; right and bottom exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        return max(0.0, self.width) * max(0.0, self.height)

    @property
    def short_side(self) -> float:
        return min(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def as_tuple(self) -> tuple[float, float, float, float]:
        return self.x0, self.y0, self.x1, self.y1

    def within(self, width: float, height: float) -> Box:
        """The box cut off at the edges of a ``width`` x ``height`` picture."""
        return Box(
            min(max(self.x0, 0.0), width),
            min(max(self.y0, 0.0), height),
            min(max(self.x1, 0.0), width),
            min(max(self.y1, 0.0), height),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from a source.

    Attributes:
        image: RGB uint8, H x W x 3.
        time: Seconds on the source's clock at which the picture was taken.
        index: 0 for the first frame of the source, then counting up.
        name: File name for a folder of images, else None.
        small: The same picture in fewer pixels, RGB uint8, where the camera's hardware
            scales it for nothing; good enough to find faces in. Else None.
    """

    image: Image
    time: float
    index: int
    name: str | None = None
    small: Image | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the classifier says of one face.

    ``state`` is None when the best probability is below the confidence floor: an
    *uncertain* verdict, which neither raises an alarm nor turns the light green.
    """

    probabilities: Mapping[MaskState, float]
    state: MaskState | None

    @property
    def confidence(self) -> float:
        return max(self.probabilities.values())


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face; ``verdict`` is None when the budget left no time to classify it."""

    box: Box
    score: float
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """One person followed over frames.

    Attributes:
        id: Unique within a run, counting up from 1.
        box: Where the face was last seen.
        state: The smoothed state, or None while it is not yet certain.
        age: Seconds since the track began.
        unseen: Seconds since the face was last detected.
        verdicts: How many verdicts the track has had so far.
    """

    id: int
    box: Box
    state: MaskState | None
    age: float
    unseen: float
    verdicts: int


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything the pipeline says about one frame: the only thing sinks ever see.

    ``timings`` maps a stage name (``detect``, ``classify``, ``track``, ``total``) to
    milliseconds. ``reason`` is one line for people.
    """

    frame_index: int
    time: float
    signal: Signal
    reason: str
    faces: tuple[Face, ...] = ()
    tracks: tuple[Track, ...] = ()
    name: str | None = None
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def people(self) -> int:
        """How many people are in view: the faces found in this frame."""
        return len(self.faces)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Which model plays a role.

    Attributes:
        role: ``detector`` or ``classifier``.
        name: The bundle's name.
        sha256: Of its card, which stands for the whole bundle; of an ``.onnx`` file itself.
    """

    role: str
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the kiosk itself is doing, taken about once a second.

    Attributes:
        time: Seconds on the same clock as the frames' times.
        fps: Frames per second that went through the pipeline lately.
        frames: Frames that went through the pipeline since the start.
        dropped: Frames that a newer one replaced before the pipeline was free.
        latency_ms: Milliseconds from capture to light, lately: ``p50``, ``p99``, ``max``;
            empty while there are none.
        temperature_c: Of the processor, in degrees Celsius; None where it cannot be read.
        throttled: What slows the processor down, in words; None where it cannot be read.
        faults: How often each part was in trouble since the start, by its name.
        troubles: What is wrong now, by the name of the part (``camera``, ``journal``, ...).
        models: Those in use; none while they are not loaded.
    """

    time: float
    fps: float = 0.0
    frames: int = 0
    dropped: int = 0
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    temperature_c: float | None = None
    throttled: tuple[str, ...] | None = None
    faults: Mapping[str, int] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)
    models: tuple[ModelVersion, ...] = ()
