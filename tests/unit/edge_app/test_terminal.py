import io
import re

import pytest

from edge_app.domain import Box, Face, Observation, Signal
from edge_app.rhythm import RHYTHMS, LampState
from edge_app.terminal import (
    PLAIN_GLYPHS,
    Glyphs,
    LightView,
    Progress,
    Style,
    render,
    style_of,
)

ANSI_COLOUR = re.compile(r"\x1b\[[\d;]*m")
TIMINGS = {"detect": 3.14, "classify": 1.0, "track": 0.02, "total": 4.16}


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def style(**changes: object) -> Style:
    given = {"animated": True, "colour": True, "glyphs": Glyphs(), "width": 80}
    return Style(**{**given, **changes})


def seen(signal: Signal, time: float = 0.0, people: int = 0) -> Observation:
    faces = (Face(Box(0, 0, 9, 9), 0.9),) * people
    return Observation(0, time, signal, "because", faces, timings=TIMINGS)


def test_a_picture_tells_lamps_rhythm_reason_people_stages_and_progress() -> None:
    lines = render(
        seen(Signal.NO_MASK, people=2),
        LampState(red=True, buzzer=True),
        Progress(2.5, 10.0),
        style(colour=False),
    )
    assert lines == [
        "● RED   ○ amber   ○ green   ● BUZZER   ",
        "NO_MASK    red, fast blink, with buzzer",
        "because",
        "people in view: 2",
        "ms per stage:   detect 3.1  classify 1.0  track 0.0  total 4.2",
        "█" * 10 + "░" * 30 + "  2.5 of 10.0 s",
    ]


@pytest.mark.parametrize("signal", list(Signal))
def test_colour_is_added_to_the_words_and_changes_none(signal: Signal) -> None:
    arguments = seen(signal), LampState(green=True), Progress(1, 2)
    plain, painted = render(*arguments, style(colour=False)), render(*arguments, style())
    assert painted != plain
    assert [ANSI_COLOUR.sub("", line) for line in painted] == plain
    assert f"{signal:<9}  {RHYTHMS[signal].words}" in plain


def test_a_lit_lamp_has_its_own_colour() -> None:
    lamps = render(seen(Signal.IDLE), LampState(amber=True), Progress(0, 1), style())[0]
    assert "\x1b[1;33m● AMBER\x1b[0m" in lamps
    assert "\x1b[2m○ red\x1b[0m" in lamps


@pytest.mark.parametrize("width", [1, 5, 20, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = render(seen(Signal.NO_MASK), LampState(), Progress(1, 2), style(width=width))
    assert max(len(ANSI_COLOUR.sub("", line)) for line in lines) <= max(1, width - 1)


@pytest.mark.parametrize(
    ("position", "bar"), [(0.0, "-" * 40), (5.0, "#" * 20 + "-" * 20), (99.0, "#" * 40)]
)
def test_the_bar_never_leaves_its_frame(position: float, bar: str) -> None:
    plain = style(colour=False, glyphs=PLAIN_GLYPHS)
    line = render(seen(Signal.IDLE), LampState(), Progress(position, 10.0), plain)[-1]
    assert line.startswith(bar + "  ")


def test_without_a_known_length_there_is_no_bar() -> None:
    line = render(seen(Signal.IDLE), LampState(), Progress(3.0, None), style())[-1]
    assert line == "3.0 s"


def test_a_terminal_is_drawn_over_in_place_and_gets_its_cursor_back() -> None:
    terminal = Terminal()
    with LightView(terminal, style(colour=False)) as view:
        for _ in range(3):
            view.update(seen(Signal.IDLE), LampState(), Progress(0, 1))
    text = terminal.getvalue()
    assert text.startswith("\x1b[?25l")
    assert text.endswith("\x1b[?25h")
    assert text.count("\x1b[6A") == 2
    assert text.count("\n") == 3 * 6


def test_the_cursor_comes_back_after_an_error_too() -> None:
    terminal = Terminal()
    with pytest.raises(KeyboardInterrupt), LightView(terminal, style()):
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith("\x1b[?25h")


def test_elsewhere_a_plain_line_is_printed_for_each_change_only() -> None:
    stream = io.StringIO()
    with LightView(stream, style_of(stream, {"TERM": "xterm"})) as view:
        for at, signal in enumerate([Signal.IDLE, Signal.IDLE, Signal.NO_MASK, Signal.NO_MASK]):
            view.update(seen(signal, time=at), LampState(), Progress(at, 4))
    lines = stream.getvalue().splitlines()
    assert [line.split()[:3] for line in lines] == [["0.00", "s", "IDLE"], ["2.00", "s", "NO_MASK"]]
    assert "\x1b" not in stream.getvalue()
    assert "because" in lines[0]


@pytest.mark.parametrize(
    ("environment", "animated", "colour"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({}, False, False),
    ],
)
def test_no_color_and_dumb_terminals_are_respected(
    environment: dict[str, str], animated: bool, colour: bool
) -> None:
    found = style_of(Terminal(), environment)
    assert (found.animated, found.colour) == (animated, colour)


@pytest.mark.parametrize(
    ("encoding", "glyphs"), [("utf-8", Glyphs()), ("ascii", PLAIN_GLYPHS), ("?", PLAIN_GLYPHS)]
)
def test_signs_are_those_that_the_terminal_knows(encoding: str, glyphs: Glyphs) -> None:
    terminal = Terminal()
    terminal.encoding = encoding
    assert style_of(terminal, {"TERM": "xterm"}).glyphs == glyphs
