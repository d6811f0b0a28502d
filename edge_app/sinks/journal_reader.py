"""Reads the event journal while the kiosk may be writing to it; never changes a file.

The connection is read-only. SQLite would still make two helper files beside a journal that
nobody has open: such a file is read as one that cannot change (``immutable``).
"""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.errors import JournalError, SettingsError
from edge_app.sinks.journal_schema import (
    COLUMNS,
    VERSION,
    DamagedJournalError,
    check_schema,
    decode,
    told,
)

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

PATIENCE_S = 1.0
"""How long a reader waits for a lock."""


@dataclass(frozen=True, slots=True)
class Event:
    """One stretch of one signal, or of one part in trouble.

    Attributes:
        id: Counts up in the order in which events began.
        begin: By the wall clock as it stood then, in the local time of then.
        duration_s: Seconds; of one that is open as far as it was written, up to a minute less.
        state: ``open``; ``ended``; or ``cut``: the kiosk lost power or crashed, so that it
            lasted ``duration_s`` or up to a minute longer.
        kind: ``signal``: the light showed ``name``; ``trouble``: the part ``name`` failed.
        name: A :class:`~edge_app.domain.Signal`, or a part such as ``camera``.
        reason: One line for people.
        people: Most in view at once.
        confidence: 0..1, mean of the verdicts that began it; None where there were none.
    """

    id: int
    begin: datetime.datetime
    duration_s: float
    state: str
    kind: str
    name: str
    reason: str
    people: int
    confidence: float | None

    @property
    def day(self) -> datetime.date:
        """The local date of its beginning."""
        return self.begin.date()


@dataclass(frozen=True, slots=True)
class DayCount:
    """How often one signal, or one part's trouble, began on a day, and for how long in all."""

    day: datetime.date
    kind: str
    name: str
    count: int
    seconds: float


def recent(path: Path, limit: int) -> list[Event]:
    """The last events, the newest first.

    Args:
        path: The journal's file.
        limit: How many at most.

    Raises:
        JournalError: The file is missing, damaged, locked or not a journal: one line.
    """
    with _reading(path) as db:
        found = db.execute(f"SELECT {COLUMNS} FROM events ORDER BY id DESC LIMIT ?", (limit,))  # noqa: S608 - constants only # nosec B608
        return [_event(row, path) for row in found]


def each_event(path: Path, day: datetime.date | None = None) -> Iterator[Event]:
    """All events, or those that began on a local day, the oldest first, one at a time.

    Raises:
        JournalError: As :func:`recent`.
    """
    condition, values = ("WHERE day = ?", (day.isoformat(),)) if day else ("", ())
    with _reading(path) as db:
        found = db.execute(f"SELECT {COLUMNS} FROM events {condition} ORDER BY id", values)  # noqa: S608 - constants only # nosec B608
        for row in found:
            yield _event(row, path)


def signal_before(path: Path, day: datetime.date) -> Event | None:
    """What the light showed when a local day began, if the journal goes back so far.

    Raises:
        JournalError: As :func:`recent`.
    """
    with _reading(path) as db:
        row = db.execute(
            f"SELECT {COLUMNS} FROM events WHERE day < ? AND kind = 'signal' "  # noqa: S608 - constants only # nosec B608
            "ORDER BY id DESC LIMIT 1",
            (day.isoformat(),),
        ).fetchone()
        return None if row is None else _event(row, path)


def daily_counts(path: Path) -> list[DayCount]:
    """How often each signal and each trouble began per local day, the oldest day first.

    Raises:
        JournalError: As :func:`recent`.
    """
    with _reading(path) as db:
        found = db.execute(
            "SELECT day, kind, name, count(*), sum(duration_s) FROM events "
            "GROUP BY day, kind, name ORDER BY day, kind, name"
        )
        with _sense(path):
            return [
                DayCount(
                    datetime.date.fromisoformat(day),
                    str(kind),
                    str(name),
                    int(count),
                    float(seconds),
                )
                for day, kind, name, count, seconds in found
            ]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with told(path), contextlib.ExitStack() as stack:
        if not path.is_file():
            raise JournalError(f"{path}: there is no such file")
        in_use = path.with_name(f"{path.name}-wal").exists()
        mode = "mode=ro" if in_use else "mode=ro&immutable=1"
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=PATIENCE_S, isolation_level=None
        )
        stack.callback(db.close)
        db.text_factory = decode
        db.execute("PRAGMA trusted_schema = OFF")
        try:
            version = check_schema(db, path)
        except SettingsError as error:
            raise JournalError(str(error)) from None
        if not version:
            raise JournalError(f"{path}: holds no events yet")
        if version != VERSION:
            raise JournalError(
                f"{path}: was written by an older mask-kiosk (version {version}, not {VERSION}); "
                "the kiosk brings it up to date when it starts"
            )
        yield db


@contextlib.contextmanager
def _sense(path: Path) -> Iterator[None]:
    """Values that no journal would hold are damage."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise DamagedJournalError(f"{path}: it is damaged ({error})") from None


def _event(row: tuple[Any, ...], path: Path) -> Event:
    number, begin_ms, offset, _, seconds, state, kind, name, reason, people, confidence = row
    with _sense(path):
        zone = datetime.timezone(datetime.timedelta(seconds=int(offset)))
        return Event(
            int(number),
            _EPOCH.astimezone(zone) + datetime.timedelta(milliseconds=int(begin_ms)),
            float(seconds),
            str(state),
            str(kind),
            str(name),
            str(reason),
            int(people),
            None if confidence is None else float(confidence),
        )
