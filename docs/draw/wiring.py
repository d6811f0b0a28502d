"""The wiring: the 40-pin header with the pins of ``IndicatorSettings``, lamps and buzzer.

The pin numbers are read from the code's defaults, the header's layout from gpiozero.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpiozero.pins.pi import PiBoardInfo

from docs.draw.kit import BRIGHT, COLOURS, GREY, GROUND, INK, PALE, SUPPLY, WHITE, Sheet
from edge_app.settings import IndicatorSettings

REVISION = 0xC03111
"""A Pi 4. The header has been the same on every Raspberry Pi since the Model B+."""

WIDTH, HEIGHT = 1080, 800
LEFT, RIGHT = 500, 536
"""Columns of the header: odd pins, even pins."""
TOP, STEP = 132, 32
"""First row of the header, and from one to the next."""

LAMPS = ("red", "amber", "green")
LAMP_Y = (TOP + 5 * STEP, 440, 588)
"""Of the lamps; the wire of the first one runs straight."""


@dataclass(frozen=True)
class Pin:
    """A pin of the header: its number there, its name, and where it is drawn."""

    number: int
    name: str
    x: int
    y: int


def header() -> dict[int, Pin]:
    """All pins by their number."""
    found = PiBoardInfo.from_revision(REVISION).headers["J8"].pins
    return {
        number: Pin(
            number,
            str(pin.name),
            LEFT if pin.col == 1 else RIGHT,
            TOP + STEP * (pin.row - 1),
        )
        for number, pin in found.items()
    }


def used(settings: IndicatorSettings) -> dict[str, Pin]:
    """The pins that carry a wire, by output; ``ground``, ``buzzer_ground`` and ``supply`` too."""
    pins = header()
    by_name = {pin.name: pin for pin in pins.values()}
    outputs = {name: by_name[f"GPIO{getattr(settings, name)}"] for name in (*LAMPS, "buzzer")}
    lamps = [outputs[name] for name in LAMPS]
    # The wires are drawn so that none crosses another; that needs this order.
    heights = [pin.y for pin in lamps]
    if {pin.x for pin in lamps} != {LEFT} or heights != sorted(heights):
        raise ValueError(f"the lamps have moved to {lamps}: lay the drawing out anew")
    if outputs["buzzer"].x != RIGHT:
        raise ValueError(f"the buzzer has moved to {outputs['buzzer']}: lay the drawing out anew")
    return outputs | {
        "ground": _last_above(pins, LEFT, lamps[0].y),
        "buzzer_ground": _last_above(pins, RIGHT, outputs["buzzer"].y),
        "supply": min((p for p in pins.values() if p.name == "5V"), key=_height),
    }


def _last_above(pins: dict[int, Pin], x: int, y: int) -> Pin:
    """The lowest ground pin of a column that lies above a height."""
    return max((p for p in pins.values() if p.name == "GND" and p.x == x and p.y < y), key=_height)


def _height(pin: Pin) -> int:
    return pin.y


def draw_wiring(settings: IndicatorSettings) -> str:
    """The drawing as SVG."""
    sheet = Sheet(WIDTH, HEIGHT, "Wiring of lamps and buzzer to the Raspberry Pi's header")
    wires = used(settings)
    sheet.text(30, 44, "mask-kiosk: wiring of the light", 26, bold=True)
    sheet.text(
        30, 72, "The Raspberry Pi from above. Pull the plug before you wire.", 16, colour=GREY
    )
    _board(sheet, wires)
    _lamps(sheet, wires)
    _buzzer(sheet, wires)
    _notes(sheet)
    return sheet.svg()


def _board(sheet: Sheet, wires: dict[str, Pin]) -> None:
    bottom = TOP + 19 * STEP
    sheet.box(LEFT - 20, TOP - 22, RIGHT - LEFT + 40, bottom - TOP + 44, PALE, GREY, 8)
    sheet.text((LEFT + RIGHT) / 2, TOP - 32, "end with the SD card", 14, "middle", GREY)
    sheet.text((LEFT + RIGHT) / 2, bottom + 40, "end with the USB sockets", 14, "middle", GREY)
    by_number = {pin.number: output for output, pin in wires.items()}
    for pin in header().values():
        output = by_number.get(pin.number)
        fill = _colour(output) if output else WHITE
        ink = INK if output is None or output in BRIGHT else WHITE
        if pin.number == 1:  # its solder pad is square on the board
            sheet.box(pin.x - 12, pin.y - 12, 24, 24, fill, INK)
        else:
            sheet.dot(pin.x, pin.y, 12, fill, INK)
        sheet.text(pin.x, pin.y + 4.5, str(pin.number), 12, "middle", ink, bold=output is not None)
        if output is None:
            aside, at = (pin.x - 26, "end") if pin.x == LEFT else (pin.x + 26, "start")
            sheet.text(aside, pin.y + 4, pin.name, 11, at, GREY)


def _colour(output: str) -> str:
    if "ground" in output:
        return GROUND
    return COLOURS.get(output, SUPPLY)


def _name(sheet: Sheet, pin: Pin, words: str) -> None:
    """What a used pin is, above its wire."""
    aside, at = (pin.x - 26, "end") if pin.x == LEFT else (pin.x + 26, "start")
    sheet.text(aside, pin.y - 6, words, 13, at, bold=True)


def _lamps(sheet: Sheet, wires: dict[str, Pin]) -> None:
    rail, ground = 60, wires["ground"]
    sheet.line([(ground.x - 13, ground.y), (rail, ground.y), (rail, LAMP_Y[-1])], GROUND, 4)
    _name(sheet, ground, "ground")
    # The first wire runs straight; the others turn down, the last nearest to the header.
    turns = (None, LEFT - 114, LEFT - 84)
    for name, y, turn in zip(LAMPS, LAMP_Y, turns, strict=True):
        pin, colour = wires[name], COLOURS[name]
        begin, led = (pin.x - 13, pin.y), 170
        bends = [] if turn is None else [(turn, pin.y), (turn, y)]
        if turn is None and y != pin.y:
            bends = [(LEFT - 130, pin.y), (LEFT - 130, y)]
        sheet.line([begin, *bends, (led, y)], colour, 4)
        sheet.line([(led, y), (rail, y)], GROUND, 4)
        sheet.dot(rail, y, 5, GROUND)
        _name(sheet, pin, pin.name)
        _resistor(sheet, 310, y, "330 Ω", ("#e8701a", "#e8701a", "#6b3e1f"))
        _led(sheet, led, y, name, colour)


def _resistor(sheet: Sheet, x: float, y: float, value: str, bands: tuple[str, str, str]) -> None:
    sheet.box(x - 36, y - 12, 72, 24, "#e8d9b5", INK, 8)
    for number, colour in enumerate((*bands, "#c9a227")):
        sheet.box(x - 24 + number * 14 + (6 if number == 3 else 0), y - 11, 6, 22, colour, "none")
    sheet.text(x, y + 32, value, 15, "middle", bold=True)


def _led(sheet: Sheet, x: float, y: float, name: str, colour: str) -> None:
    """An LED from above: a circle with its flat side towards ground."""
    r = 30
    sheet.path(f"M {x - 20} {y - 22.4} A {r} {r} 0 1 1 {x - 20} {y + 22.4} Z", colour)
    ink = INK if name in BRIGHT else WHITE
    sheet.text(x + 4, y + 5, name.upper(), 13 if len(name) < 5 else 11.5, "middle", ink, bold=True)
    sheet.text(x + 42, y - 10, "long leg", 12, "start", GREY)
    sheet.text(x - 30, y - 10, "short leg", 12, "end", GREY)


def _buzzer(sheet: Sheet, wires: dict[str, Pin]) -> None:
    ground, pin, supply = wires["buzzer_ground"], wires["buzzer"], wires["supply"]
    emitter, base, collector, legs = 700, 730, 760, 470
    minus, plus, far, buzzer_y = 850, 950, 1010, 380
    sheet.line(
        [(ground.x + 13, ground.y), (655, ground.y), (655, 520), (emitter, 520), (emitter, legs)],
        GROUND,
        4,
    )
    sheet.line(
        [(pin.x + 13, pin.y), (622, pin.y), (622, 580), (base, 580), (base, legs)],
        COLOURS["buzzer"],
        4,
    )
    sheet.line(
        [(collector, legs), (collector, 520), (minus, 520), (minus, buzzer_y)], COLOURS["buzzer"], 4
    )
    sheet.line(
        [(supply.x + 13, supply.y), (far, supply.y), (far, 520), (plus, 520), (plus, buzzer_y)],
        SUPPLY,
        4,
    )
    _name(sheet, ground, "ground")
    _name(sheet, pin, pin.name)
    _name(sheet, supply, "5 V")
    _resistor(sheet, 680, 580, "1 kΩ", ("#6b3e1f", "#1a1a1a", "#b3261e"))
    # The transistor, its round side to the viewer: emitter, base, collector.
    sheet.path(f"M 682 {legs} L 682 400 A 48 34 0 0 1 778 400 L 778 {legs} Z", "#3c3c3c")
    sheet.text(base, 428, "BC337", 16, "middle", WHITE, bold=True)
    for x, leg in ((emitter, "E"), (base, "B"), (collector, "C")):
        sheet.text(x, 460, leg, 15, "middle", WHITE, bold=True)
    sheet.text(base, 334, "NPN transistor,\nflat side behind", 13, "middle", GREY)
    sheet.dot((minus + plus) / 2, buzzer_y - 30, 64, "#3c3c3c", INK)
    sheet.dot((minus + plus) / 2, buzzer_y - 30, 9, WHITE)
    sheet.text((minus + plus) / 2, buzzer_y - 56, "BUZZER", 15, "middle", WHITE, bold=True)
    sheet.text(minus + 12, buzzer_y - 2, "−", 22, "middle", WHITE, bold=True)
    sheet.text(plus - 12, buzzer_y - 2, "+", 22, "middle", WHITE, bold=True)
    # The diode between the buzzer's legs, its ring towards plus.
    sheet.line([(minus, 520), (minus, 600), (plus, 600), (plus, 520)], INK, 3)
    sheet.box(866, 588, 68, 24, "#d9775f", INK, 4)
    sheet.box(916, 588, 8, 24, INK, INK)
    sheet.text(900, 636, "1N4148: ring\ntowards plus", 13, "middle", GREY)
    for x in (minus, plus):
        sheet.dot(x, 520, 5)


def _notes(sheet: Sheet) -> None:
    y = 690
    sheet.text(30, y, "A lamp:", 14, bold=True)
    sheet.text(100, y, "pin → 330 Ω → long leg; short leg → ground.", 14)
    sheet.text(30, y + 24, "330 Ω:", 14, bold=True)
    sheet.text(100, y + 24, "orange, orange, brown.  1 kΩ: brown, black, red.", 14)
    sheet.text(30, y + 48, "Black wires:", 14, bold=True)
    sheet.text(128, y + 48, "ground. Violet: 5 V, to the buzzer only.", 14)
    sheet.text(622, y, "Buzzer: an active one for 5 V. For one marked 3 V,", 14)
    sheet.text(622, y + 20, "the violet wire goes to pin 1 (3V3) instead.", 14)
    sheet.text(622, y + 48, "Other transistors have their legs in another order.", 14)
