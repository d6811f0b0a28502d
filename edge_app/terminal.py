"""Shows the light in a terminal: its lamps as they blink, and why."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from types import TracebackType
from typing import Self, TextIO

from edge_app.domain import Observation, Signal
from edge_app.rhythm import RHYTHMS, LampState

Segment = tuple[str, str]
"""Text and the ANSI code ("" for none) that it is painted with."""

BAR_WIDTH = 40

RED, AMBER, GREEN, BOLD, DIM = "31", "33", "32", "1", "2"
SIGNAL_CODES = {
    Signal.FAULT: f"{BOLD};{RED}",
    Signal.NO_MASK: f"{BOLD};{RED}",
    Signal.INCORRECT: f"{BOLD};{AMBER}",
    Signal.COMPLIANT: f"{BOLD};{GREEN}",
    Signal.IDLE: DIM,
}
LAMP_CODES = {"red": RED, "amber": AMBER, "green": GREEN, "buzzer": BOLD}

_HIDE_CURSOR, _SHOW_CURSOR, _CLEAR_LINE = "\x1b[?25l", "\x1b[?25h", "\x1b[2K"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs a picture of the light is made of."""

    lit: str = "●"
    dark: str = "○"
    full: str = "█"
    empty: str = "░"


PLAIN_GLYPHS = Glyphs(lit="*", dark=".", full="#", empty="-")
"""For terminals that know only ASCII."""


@dataclass(frozen=True, slots=True)
class Style:
    """What a terminal can do.

    Attributes:
        animated: Lines may be drawn over; otherwise a line is printed per change.
        colour: ANSI colours are wanted.
        glyphs: The signs it can show.
        width: Columns; longer lines are cut off.
    """

    animated: bool
    colour: bool
    glyphs: Glyphs
    width: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a clip has been played, in seconds; ``length`` is None when unknown."""

    position: float
    length: float | None


def style_of(stream: TextIO, environment: Mapping[str, str]) -> Style:
    """What a stream can show: animation only on a terminal, colour unless ``NO_COLOR`` is set."""
    animated = stream.isatty() and environment.get("TERM") not in (None, "", "dumb")
    try:
        "".join(astuple(Glyphs())).encode(stream.encoding or "ascii")
        glyphs = Glyphs()
    except (UnicodeEncodeError, LookupError):
        glyphs = PLAIN_GLYPHS
    colour = animated and not environment.get("NO_COLOR")
    return Style(animated, colour, glyphs, shutil.get_terminal_size().columns)


class LightView:
    """Draws the light as it changes, as a context manager."""

    def __init__(self, stream: TextIO, style: Style) -> None:
        self._stream = stream
        self._style = style
        self._drawn = 0
        self._last: Signal | None = None

    def update(self, seen: Observation, lamps: LampState, progress: Progress) -> None:
        """Show one observation, the lamps' state at this moment, and the progress."""
        if self._style.animated:
            self._redraw(render(seen, lamps, progress, self._style))
        elif seen.signal is not self._last:
            print(change_line(seen), file=self._stream, flush=True)
        self._last = seen.signal

    def __enter__(self) -> Self:
        if self._style.animated:
            self._stream.write(_HIDE_CURSOR)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._style.animated:
            self._stream.write(_SHOW_CURSOR)
            self._stream.flush()

    def _redraw(self, lines: list[str]) -> None:
        up = f"\x1b[{self._drawn}A\r" if self._drawn else ""
        self._stream.write(up + "".join(f"{_CLEAR_LINE}{line}\n" for line in lines))
        self._stream.flush()
        self._drawn = len(lines)


def render(seen: Observation, lamps: LampState, progress: Progress, style: Style) -> list[str]:
    """The picture of one moment, line by line, none wider than the terminal."""
    lines: list[list[Segment]] = [
        _lamp_line(lamps, style.glyphs),
        [
            (f"{seen.signal:<9}", SIGNAL_CODES[seen.signal]),
            (f"  {RHYTHMS[seen.signal].words}", ""),
        ],
        [(seen.reason, "")],
        [(f"people in view: {seen.people}", "")],
        [(f"ms per stage:   {_timings(seen)}", "")],
        [(_bar(progress, style.glyphs), "")],
    ]
    return [_paint(line, style) for line in lines]


def change_line(seen: Observation) -> str:
    """One plain line for a moment at which the signal changed."""
    return (
        f"{seen.time:7.2f} s  {seen.signal:<9}  {RHYTHMS[seen.signal].words}; "
        f"{seen.reason}; {_timings(seen)} ms"
    )


def _lamp_line(lamps: LampState, glyphs: Glyphs) -> list[Segment]:
    line: list[Segment] = []
    for name, code in LAMP_CODES.items():
        on = getattr(lamps, name)
        sign = glyphs.lit if on else glyphs.dark
        line.append((f"{sign} {name.upper() if on else name}", f"{BOLD};{code}" if on else DIM))
        line.append(("   ", ""))
    return line


def _timings(seen: Observation) -> str:
    return "  ".join(f"{stage} {ms:.1f}" for stage, ms in seen.timings.items())


def _bar(progress: Progress, glyphs: Glyphs) -> str:
    if not progress.length:
        return f"{progress.position:.1f} s"
    full = round(BAR_WIDTH * min(1.0, progress.position / progress.length))
    bar = glyphs.full * full + glyphs.empty * (BAR_WIDTH - full)
    return f"{bar}  {progress.position:.1f} of {progress.length:.1f} s"


def _paint(line: list[Segment], style: Style) -> str:
    left, painted = max(1, style.width - 1), ""
    for text, code in line:
        text = text[:left]
        left -= len(text)
        painted += f"\x1b[{code}m{text}\x1b[0m" if code and text and style.colour else text
    return painted
