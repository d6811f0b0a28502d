"""Time strips: when each lamp is on, from :mod:`edge_app.rhythm`."""

from __future__ import annotations

from docs.draw.kit import COLOURS, GREY, INK, PALE, WHITE, Sheet
from edge_app.domain import Signal
from edge_app.rhythm import RHYTHMS, SELF_TEST, LampState, Rhythm

SECONDS = 4.0
"""How much time a strip shows: two of the longest rhythms."""

LAMPS = ("red", "amber", "green")
WIDTH, ROW, LEFT, SCALE = 440, 34, 124, 72
"""Of a strip; a row is one output, a second ``SCALE`` wide."""


def strips() -> dict[str, str]:
    """File name to SVG, one for each signal and one for the start."""
    found = {
        f"lamps-{signal.value.lower().replace('_', '-')}.svg": draw_strip(RHYTHMS[signal])
        for signal in Signal
    }
    return found | {"lamps-start.svg": draw_strip(SELF_TEST, repeats=False)}


def spans(rhythm: Rhythm, output: str, repeats: bool = True) -> list[tuple[float, float]]:
    """Begin and end in seconds of every time that an output is on within :data:`SECONDS`.

    The buzzer sounds in the first round only, see ``Indicator.tick``.
    """
    found: list[tuple[float, float]] = []
    begin, first = 0.0, True
    while begin < SECONDS and (first or repeats):
        for state, seconds in rhythm.steps:
            end = min(begin + seconds, SECONDS)
            if _is_on(state, output, first) and begin < end:
                if found and abs(found[-1][1] - begin) < 1e-9:
                    found[-1] = (found[-1][0], end)
                else:
                    found.append((round(begin, 6), round(end, 6)))
            begin += seconds
        first = False
    return found


def _is_on(state: LampState, output: str, first_round: bool) -> bool:
    return getattr(state, output) and (first_round or output != "buzzer")


def draw_strip(rhythm: Rhythm, repeats: bool = True) -> str:
    """One row for each lamp, and one for the buzzer where it sounds."""
    outputs = [*LAMPS, *(["buzzer"] if spans(rhythm, "buzzer", repeats) else [])]
    sheet = Sheet(WIDTH, ROW * len(outputs) + 34, f"When each lamp is on: {rhythm.words}")
    for row, output in enumerate(outputs):
        y = ROW * row + 6
        on = spans(rhythm, output, repeats)
        _lamp(sheet, output, y + 12, bool(on))
        sheet.box(LEFT, y, SECONDS * SCALE, ROW - 10, PALE, "none")
        for begin, end in on:
            x, width = LEFT + begin * SCALE, (end - begin) * SCALE
            sheet.box(x, y, width, ROW - 10, COLOURS[output], INK)
    base = ROW * len(outputs) + 4
    for second in range(int(SECONDS) + 1):
        x = LEFT + second * SCALE
        sheet.line([(x, 4), (x, base)], GREY, 1, "3 4")
        words = f"{second} s"
        sheet.text(x, base + 20, words, 18, "middle" if second else "start", GREY)
    return sheet.svg()


def _lamp(sheet: Sheet, output: str, y: float, is_on: bool) -> None:
    colour = COLOURS[output]
    sheet.text(LEFT - 12, y + 7, output, 20, "end", INK if is_on else GREY, bold=is_on)
    if output == "buzzer":
        sheet.shape(
            [(8, y - 4), (14, y - 4), (22, y - 10), (22, y + 10), (14, y + 4), (8, y + 4)], colour
        )
    else:
        sheet.dot(16, y, 11, colour if is_on else WHITE, INK if is_on else GREY)
