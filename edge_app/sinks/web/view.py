"""Everything that the page shows at a moment, as words and as figures.

One dictionary serves the HTML page, the script that keeps it fresh, and other programs
(``/api/status.json``), so that they can never disagree.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from edge_app import __version__
from edge_app.domain import Observation, Signal, Vitals
from edge_app.errors import KioskError
from edge_app.rhythm import RHYTHMS
from edge_app.settings import Settings
from edge_app.sinks.web import words
from edge_app.sinks.web.board import Board, Now
from edge_app.sinks.web.shared import Shared

MAX_EVENTS = 12
"""Events on the page; ``python -m edge_app events`` shows all."""

EVENTS_S = 2.0
"""The journal is a file: it is read so seldom, and only while somebody looks."""

UNKNOWN = "not measured"

View = dict[str, Any]
"""``signal``, ``since_s``, ``people``, ``picture``, ``text`` (field: words), ``levels`` (field:
``good`` or ``bad``), ``troubles``, ``events``."""


class Event(Protocol):
    """What the page needs to know of one of the journal's events."""

    @property
    def begin(self) -> datetime.datetime:
        """When it began, with its time zone."""
        ...

    @property
    def duration_s(self) -> float:
        """How long it lasted, or has lasted so far."""
        ...

    @property
    def state(self) -> str:
        """``open`` while it lasts."""
        ...

    @property
    def kind(self) -> str:
        """``signal``: the light showed ``name``; anything else: the part ``name`` failed."""
        ...

    @property
    def name(self) -> str:
        """A :class:`~edge_app.domain.Signal`, or a part such as ``camera``."""
        ...

    @property
    def people(self) -> int:
        """How many people were in view."""
        ...


RecentEvents = Callable[[], Sequence[Event]]
"""The newest events, the newest first; may raise a :class:`~edge_app.errors.KioskError`."""


class Viewer:
    """Puts what the kiosk said into a :data:`View`."""

    def __init__(
        self,
        settings: Settings,
        board: Board,
        recent_events: RecentEvents | None,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._board = board
        self._recent_events = recent_events
        self._events = Shared(self._read_events, EVENTS_S, clock)
        self._models = ", ".join(
            Path(bundle).name.removesuffix(".tflite")
            for bundle in (settings.detector.bundle, settings.classifier.bundle)
        )

    def view(self) -> View:
        """What the page shows now."""
        now = self._board.now()
        seen = None if now.seen is None else now.seen.observation
        face, face_level = self._face(seen)
        text = {
            "heading": words.HEADINGS[now.signal],
            "advice": words.ADVICE[now.signal],
            "reason": words.sentence(now.reason),
            "rhythm": RHYTHMS[now.signal].words,
            "since": words.duration(now.since_s),
            "people": _people(now),
            "face": face,
            "uptime": words.duration(self._board.uptime()),
            "version": __version__,
            "models": self._models,
            **self._health(now, seen),
        }
        levels = {"face": face_level, **self._levels(now)}
        events, events_note = self._events()
        return {
            "signal": now.signal.value,
            "since_s": round(now.since_s, 1),
            "people": None if seen is None or now.signal is Signal.FAULT else seen.people,
            "picture": self._settings.web.preview and _has_picture(now),
            "text": {**text, "events": events_note},
            "levels": {field: level for field, level in levels.items() if level},
            "troubles": _troubles(now.vitals),
            "events": events,
        }

    def _face(self, seen: Observation | None) -> tuple[str, str]:
        """The largest face beside the smallest that is judged, for aiming the camera."""
        needed = self._settings.classifier.min_face_px
        if seen is None or seen.signal is Signal.FAULT:
            return "", ""
        if not seen.faces:
            return f"No face found. A face needs {needed:.0f} pixels to be judged.", ""
        largest = max(face.box.short_side for face in seen.faces)
        sizes = f"Largest face {largest:.0f} pixels, {needed:.0f} needed"
        if largest < needed:
            return f"{sizes}: too small, step closer or move the camera.", "bad"
        return f"{sizes}: large enough.", "good"

    def _health(self, now: Now, seen: Observation | None) -> dict[str, str]:
        vitals = now.vitals
        timings = {} if seen is None else seen.timings
        latency = {} if vitals is None else vitals.latency_ms
        limit = words.milliseconds(self._settings.policy.stale_s * 1000)
        budget = words.milliseconds(self._settings.classifier.budget_ms)
        ms = {name: words.milliseconds(value) for name, value in timings.items()}
        shown = {name: words.milliseconds(value) for name, value in latency.items()}
        return {
            "camera": self._camera(now),
            "fps": UNKNOWN if vitals is None else f"{vitals.fps:.1f} per second",
            "latency": f"{shown['p50']}, slowest 1 %: {shown['p99']} (limit {limit})"
            if "p50" in shown and "p99" in shown
            else UNKNOWN,
            "detect": ms.get("detect", UNKNOWN),
            "classify": f"{ms['classify']} of {budget}" if "classify" in ms else UNKNOWN,
            "track": ms.get("track", UNKNOWN),
            "temperature": UNKNOWN
            if vitals is None or vitals.temperature_c is None
            else f"{vitals.temperature_c:.0f} °C",
            "throttling": UNKNOWN
            if vitals is None or vitals.throttled is None
            else ", ".join(vitals.throttled) or "nothing",
        }

    def _camera(self, now: Now) -> str:
        if now.vitals is not None and "camera" in now.vitals.troubles:
            return "trouble, see above"
        return "no fresh picture" if now.signal is Signal.FAULT else "working"

    def _levels(self, now: Now) -> dict[str, str]:
        vitals = now.vitals
        latency = {} if vitals is None else vitals.latency_ms
        slow = latency.get("p99", 0.0) > self._settings.policy.stale_s * 1000
        return {
            "camera": "good" if self._camera(now) == "working" else "bad",
            "latency": "bad" if slow else "",
            "throttling": "bad" if vitals is not None and vitals.throttled else "",
        }

    def _read_events(self) -> tuple[list[dict[str, Any]], str]:
        if self._recent_events is None:
            return [], "This kiosk keeps no journal."
        try:
            events = self._recent_events()[:MAX_EVENTS]
        except KioskError as error:
            return [], words.sentence(f"the journal cannot be read: {error}")
        today = datetime.datetime.now().astimezone().date()
        return [_row(event, today) for event in events], "" if events else "Nothing yet."


def _people(now: Now) -> str:
    if now.seen is None or now.signal is Signal.FAULT:
        return "unknown"
    return words.people(now.seen.observation.people)


def _has_picture(now: Now) -> bool:
    return now.seen is not None and now.seen.frame is not None


def _troubles(vitals: Vitals | None) -> list[str]:
    if vitals is None:
        return []
    return [
        words.sentence(what if what.startswith(part) else f"{part}: {what}")
        for part, what in sorted(vitals.troubles.items())
    ]


def _row(event: Event, today: datetime.date) -> dict[str, Any]:
    begin = event.begin.astimezone()
    time = f"{begin:%H:%M}" if begin.date() == today else f"{begin:%d %b, %H:%M}"
    is_signal = event.kind == "signal"
    headings = {signal.value: heading for signal, heading in words.HEADINGS.items()}
    heading = headings.get(event.name, event.name) if is_signal else f"Trouble: {event.name}"
    return {
        "begin": event.begin.isoformat(timespec="seconds"),
        "time": time,
        "signal": event.name if is_signal else "FAULT",
        "heading": heading,
        "duration": "now" if event.state == "open" else words.duration(event.duration_s),
        "people": event.people,
    }
