"""What goes on in front of the kiosk, from its beginning to its end, as the journal keeps it."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from edge_app.domain import SIGNAL_OF_STATE, Observation
from edge_app.sinks.journal_schema import Row

Wall = Callable[[], datetime.datetime]
"""The wall clock: local time with its offset from UTC."""


def local_now() -> datetime.datetime:
    """Local time with its offset from UTC."""
    return datetime.datetime.now().astimezone()


class Stretch:
    """Something that goes on: a signal that is shown, or a part in trouble."""

    __slots__ = ("began", "order", "row", "stored")

    def __init__(self, kind: str, name: str, reason: str, began: float, order: int, wall: Wall):
        begin = wall()
        offset = begin.utcoffset() or datetime.timedelta()
        self.began = began
        self.order = order
        self.stored = False
        self.row = Row(
            begin_ms=round(begin.timestamp() * 1000),
            utc_offset_s=round(offset.total_seconds()),
            day=begin.date().isoformat(),
            kind=kind,
            name=name,
            # A file's name in it may hold bytes that are no text, which SQLite would refuse.
            reason=reason.encode("utf-8", "replace").decode("utf-8"),
        )

    def reach(self, now: float) -> None:
        """It went on until now."""
        self.row.duration_s = round(now - self.began, 3)

    def note(self, seen: Observation) -> None:
        """Take in the people in view and, once, how sure the verdicts were that began it."""
        row = self.row
        row.people = max(row.people, seen.people)
        if row.confidence is None:
            sure = [
                face.verdict.confidence
                for face in seen.faces
                if face.verdict is not None
                and face.verdict.state is not None
                and SIGNAL_OF_STATE[face.verdict.state] is seen.signal
            ]
            if sure:
                row.confidence = round(sum(sure) / len(sure), 4)
