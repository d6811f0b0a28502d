"""The command ``events``: prints, charts and exports what the journal holds.

Reads only, also while the kiosk writes; never makes a file but the one it is asked for.
"""

from __future__ import annotations

import csv
import datetime
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from edge_app.domain import Signal
from edge_app.errors import JournalError, JournalUnreadableError, UsageError
from edge_app.events_chart import chart
from edge_app.recording import replacing
from edge_app.settings import Settings
from edge_app.sinks.journal import journal_path
from edge_app.sinks.journal_reader import (
    DayCount,
    Event,
    daily_counts,
    each_event,
    recent,
    signal_before,
)
from edge_app.terminal import style_of

LAST = 20
"""Events that are printed when nothing else is asked for: a screenful."""

MINUTE_S, HOUR_S = 60, 3600

COUNTED = (Signal.NO_MASK, Signal.INCORRECT, Signal.COMPLIANT, Signal.FAULT)
"""What the daily counts show; idle is everything else."""

TROUBLE = "troubles"

CSV_COLUMNS = (
    "id", "begin", "begin_utc", "duration_s", "state", "kind", "name", "reason", "people",
    "confidence",
)  # fmt: skip

ENDINGS = {"open": " so far", "cut": " or more"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for, beside the settings."""

    file: Path | None = None
    day: datetime.date | None = None
    csv: Path | None = None
    chart: bool = False
    daily: bool = False


def run_events(
    settings: Settings, wishes: Wishes, out: TextIO, today: datetime.datetime | None = None
) -> int:
    """Show the journal.

    Args:
        settings: Where it lies, unless ``wishes.file`` says.
        wishes: What to show.
        out: Where to print.
        today: Local time now; default: the clock's.

    Returns:
        0, the exit code.

    Raises:
        UsageError: No journal is named anywhere.
        JournalUnreadableError: It is missing, damaged or locked.
        OutputError: The CSV file cannot be written.
    """
    path = wishes.file or journal_path(settings.journal)
    if path is None:
        raise UsageError(
            "which journal? name it with --file (the service's is usually "
            "/var/lib/mask-kiosk/events.sqlite3), or set journal.path in the settings"
        )
    try:
        _show(path, wishes, out, today or datetime.datetime.now())
    except JournalError as error:
        raise JournalUnreadableError(str(error)) from None
    return 0


def _show(path: Path, wishes: Wishes, out: TextIO, now: datetime.datetime) -> None:
    if wishes.csv is not None:
        count = write_csv(wishes.csv, each_event(path, wishes.day))
        print(f"{count} events written: {wishes.csv}", file=out)
    elif wishes.chart:
        day = wishes.day or now.date()
        events = each_event(path, day)
        before = signal_before(path, day)
        lines = chart(
            day, itertools.chain([before] if before else [], events), now, style_of(out, os.environ)
        )
        _print(lines, out)
    elif wishes.daily:
        counts = [c for c in daily_counts(path) if wishes.day in (None, c.day)]
        _print(daily_lines(counts), out)
    elif wishes.day is not None:
        _print(_lines(each_event(path, wishes.day), f"no events on {wishes.day}"), out)
    else:
        _print(_lines(reversed(recent(path, LAST)), "no events yet"), out)


def write_csv(path: Path, events: Iterable[Event]) -> int:
    """Write events as CSV with a header, all or nothing; returns how many.

    Raises:
        OutputError: The file cannot be written.
        JournalError: The events cannot be read on.
    """
    count = 0
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for event in events:
            count += 1
            writer.writerow(
                (
                    event.id,
                    event.begin.isoformat(timespec="milliseconds"),
                    event.begin.astimezone(datetime.UTC).isoformat(timespec="milliseconds"),
                    event.duration_s,
                    event.state,
                    event.kind,
                    event.name,
                    event.reason,
                    event.people,
                    "" if event.confidence is None else event.confidence,
                )
            )
    return count


def line(event: Event) -> str:
    """An event as one line for people."""
    confidence = "" if event.confidence is None else f"{event.confidence:.0%}"
    people = f"{event.people} in view" if event.kind == "signal" else ""
    lasted = duration(event.duration_s) + ENDINGS.get(event.state, "")
    text = (
        f"{event.begin:%Y-%m-%d %H:%M:%S}  {event.name:<9}  {lasted:>20}  {people:>10}  "
        f"{confidence:>4}  {event.reason}"
    )
    return "".join(sign if sign.isprintable() else "?" for sign in text).rstrip()


def duration(seconds: float) -> str:
    """A time for people: ``12.3 s``, ``4 min 10 s`` or ``3 h 05 min``."""
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S:02d} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02d} min"


def daily_lines(counts: Iterable[DayCount]) -> Iterator[str]:
    """A table: per day how often each signal began, and how long it was shown in all."""
    names = [*COUNTED, TROUBLE]
    yield "day       " + "".join(f"  {name:>20}" for name in names)
    for day, group in itertools.groupby(counts, lambda count: count.day):
        table = dict.fromkeys(names, (0, 0.0))
        for one in group:
            name = one.name if one.kind == "signal" else TROUBLE
            if name in table:
                before = table[name]
                table[name] = (before[0] + one.count, before[1] + one.seconds)
        cells = (f"{n} ({duration(s)})" if n else "-" for n, s in table.values())
        yield f"{day}" + "".join(f"  {cell:>20}" for cell in cells)


def _lines(events: Iterable[Event], nothing: str) -> Iterator[str]:
    found = False
    for event in events:
        found = True
        yield line(event)
    if not found:
        yield nothing


def _print(lines: Iterable[str], out: TextIO) -> None:
    encoding = out.encoding or "utf-8"
    for text in lines:
        print(text.encode(encoding, "replace").decode(encoding), file=out)
