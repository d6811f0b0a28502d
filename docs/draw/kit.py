"""What all drawings share: colours that everybody can tell apart, letters, lines and boxes."""

from __future__ import annotations

from collections.abc import Sequence

import drawsvg as draw

INK, GREY, PALE, WHITE = "#1a1a1a", "#5f6368", "#eceff1", "#ffffff"

COLOURS = {"red": "#b3261e", "amber": "#f5b301", "green": "#26a69a", "buzzer": "#4a4a4a"}
"""Of the outputs. Their brightness differs, so that a grey print tells them apart, too; and every
part has its name beside it."""

BRIGHT = ("amber", "green")
"""On these letters are dark, on the others white."""

GROUND, SUPPLY = "#1a1a1a", "#7b4fa3"
"""Of wires: ground is drawn black, supply violet."""

FONT = "Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', sans-serif"


class Sheet:
    """A drawing with a white ground, measured in pixels from its upper left corner."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self._svg = draw.Drawing(width, height, id_prefix="d", font_family=FONT, role="img")
        self._svg.append_title(title)
        self.box(0, 0, width, height, fill=WHITE, edge="none")

    def svg(self) -> str:
        """The file's content; the same for the same drawing."""
        return str(self._svg.as_svg(header="", skip_js=True, skip_css=True)) + "\n"

    def line(
        self,
        points: Sequence[tuple[float, float]],
        colour: str = INK,
        width: float = 2,
        dash: str = "none",
    ) -> None:
        flat = [value for point in points for value in point]
        self._svg.append(
            draw.Lines(
                *flat,
                fill="none",
                stroke=colour,
                stroke_width=width,
                stroke_linejoin="round",
                stroke_dasharray=dash,
            )
        )

    def shape(
        self, points: Sequence[tuple[float, float]], fill: str = PALE, edge: str = "none"
    ) -> None:
        flat = [value for point in points for value in point]
        self._svg.append(draw.Lines(*flat, close=True, fill=fill, stroke=edge))

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str = WHITE,
        edge: str = INK,
        radius: float = 0,
    ) -> None:
        self._svg.append(
            draw.Rectangle(x, y, width, height, rx=radius, fill=fill, stroke=edge, stroke_width=2)
        )

    def dot(self, x: float, y: float, radius: float, fill: str = INK, edge: str = "none") -> None:
        self._svg.append(draw.Circle(x, y, radius, fill=fill, stroke=edge, stroke_width=2))

    def path(self, commands: str, fill: str = WHITE, edge: str = INK) -> None:
        self._svg.append(draw.Path(d=commands, fill=fill, stroke=edge, stroke_width=2))

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 15,
        at: str = "start",
        colour: str = INK,
        bold: bool = False,
    ) -> None:
        """Write one line or several; ``y`` is the base line of the first."""
        for number, line in enumerate(words.split("\n")):
            self._svg.append(
                draw.Text(
                    line,
                    size,
                    x,
                    y + number * size * 1.3,
                    text_anchor=at,
                    fill=colour,
                    font_weight="bold" if bold else "normal",
                )
            )

    def arrow(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        """A line with a head at its end; upright or level."""
        self.line([begin, end])
        (x, y), level = end, begin[1] == end[1]
        back = -9 if (end[0] > begin[0] if level else end[1] > begin[1]) else 9
        wings = (
            [(x + back, y - 5), (x + back, y + 5)]
            if level
            else [(x - 5, y + back), (x + 5, y + back)]
        )
        self.shape([end, *wings], fill=INK)
