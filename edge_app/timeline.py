"""What the light showed over time: spans of one signal each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_app.domain import Observation, Signal


@dataclass(frozen=True, slots=True)
class Span:
    """One signal without a break, from ``start`` until just before ``end`` (seconds).

    ``reason`` is the one given when the signal began.
    """

    start: float
    end: float
    signal: Signal
    reason: str

    def touches(self, start: float, end: float) -> bool:
        """Whether the signal is shown at some moment of ``start``..``end``, both included."""
        return self.start <= end and self.end > start


def timeline(observations: Iterable[Observation], frame_seconds: float) -> list[Span]:
    """Join the observations of a clip to spans.

    A signal lasts until the frame that changes it; the last one for ``frame_seconds``
    after the last frame. Times count from the first observation.
    """
    spans: list[Span] = []
    origin: float | None = None
    for seen in observations:
        origin = seen.time if origin is None else origin
        start = seen.time - origin
        end = start + frame_seconds
        if spans and spans[-1].signal == seen.signal:
            last = spans[-1]
            spans[-1] = Span(last.start, end, last.signal, last.reason)
            continue
        if spans:
            last = spans[-1]
            spans[-1] = Span(last.start, start, last.signal, last.reason)
        spans.append(Span(start, end, seen.signal, seen.reason))
    return spans


def describe(span: Span) -> str:
    """One line for people: ``0.00 -  3.44 s  NO_MASK    1 person without a mask``."""
    return f"{span.start:7.2f} - {span.end:6.2f} s  {span.signal:<9}  {span.reason}".rstrip()
