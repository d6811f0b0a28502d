"""A day of the journal as a picture of text: hours down, signals across."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator

from edge_app.domain import Signal
from edge_app.sinks.journal_reader import Event
from edge_app.terminal import SIGNAL_CODES, Style

SHOWN = (Signal.NO_MASK, Signal.INCORRECT, Signal.COMPLIANT, Signal.FAULT)
"""The columns: each has its name above it, its number beside the bar, and its colour."""

BAR = 10
"""Signs of the longest bar: four columns fit into 80."""

COUNT = 5

HOURS = 24
HOUR = datetime.timedelta(hours=1)


def chart(
    day: datetime.date, events: Iterable[Event], now: datetime.datetime, style: Style
) -> Iterator[str]:
    """The lines of a day's chart: how often each signal began in each hour.

    Args:
        day: Which one, by the local time of the events.
        events: Those that began on it, and what the light showed before.
        now: Local time; hours after it stay empty.
        style: What the terminal can show.
    """
    counts: Counter[tuple[int, str]] = Counter()
    covered = [datetime.timedelta()] * HOURS
    midnight = datetime.datetime.combine(day, datetime.time())
    for event in events:
        if event.kind != "signal":
            continue
        begin = event.begin.replace(tzinfo=None)
        if begin.date() == day:
            counts[begin.hour, event.name] += 1
        for hour, time in _cover(begin, event.duration_s, midnight):
            covered[hour] += time
    most = max((counts[key] for key in counts if key[1] in SHOWN), default=0)
    yield f"{day}: how often each signal began, by the hour"
    yield "hour" + "".join(f"  {signal:<{BAR + 1 + COUNT}}" for signal in SHOWN).rstrip()
    for hour in range(HOURS):
        begun = any(counts[hour, signal] for signal in Signal)
        cells = (_cell(signal, counts[hour, signal], most, style) for signal in SHOWN)
        text = "".join(cells)
        if not covered[hour] and not begun:
            text = "" if midnight + hour * HOUR > now else "  off"
        yield f"{hour:02d}  {text}".rstrip()
    totals = (f"{sum(counts[hour, signal] for hour in range(HOURS))}" for signal in SHOWN)
    yield "all " + "".join(f"  {'':<{BAR}} {total:>{COUNT}}" for total in totals)
    yield "off: the kiosk did not run; an hour without bars: nobody came"


def _cover(
    begin: datetime.datetime, seconds: float, midnight: datetime.datetime
) -> Iterator[tuple[int, datetime.timedelta]]:
    """The hours of a day in which something went on, and for how long."""
    end = begin + datetime.timedelta(seconds=seconds)
    for hour in range(HOURS):
        start = midnight + hour * HOUR
        time = min(end, start + HOUR) - max(begin, start)
        if time > datetime.timedelta():
            yield hour, time


def _cell(signal: Signal, count: int, most: int, style: Style) -> str:
    """A bar and its number; somebody who came at all is never invisible."""
    if not count:
        return f"  {'':<{BAR + 1 + COUNT}}"
    signs = max(1, round(BAR * count / most))
    bar = style.glyphs.full * signs
    painted = f"\x1b[{SIGNAL_CODES[signal]}m{bar}\x1b[0m" if style.colour else bar
    return f"  {painted}{'':<{BAR - signs}} {count:>{COUNT}}"
