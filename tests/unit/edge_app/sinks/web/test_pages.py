"""The style sheet's colours and rhythms, computed; the pages' HTML, parsed."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from edge_app.domain import Signal
from edge_app.rhythm import RHYTHMS, lamps_at
from edge_app.sinks.web.pages import ASSETS, LAMPS, Pages, rhythm_style
from edge_app.sinks.web.view import Viewer

STYLE = (ASSETS / "style.css").read_text(encoding="utf-8")

TEXT, GRAPHICS = 4.5, 3.0
"""Contrast that WCAG 2.2 AA asks for: success criteria 1.4.3 and 1.4.11."""

SIGNALS = ("green", "amber", "red", "idle", "fault", "lost")

PAIRS = [
    *[
        (ink, ground, TEXT)
        for ink in ("ink", "soft", "good", "bad")
        for ground in ("paper", "card")
    ],
    ("button-ink", "button", TEXT),
    *[(f"{signal}-ink", f"{signal}-tone", TEXT) for signal in SIGNALS],
    *[(f"{signal}-edge", f"{signal}-tone", GRAPHICS) for signal in SIGNALS],
    *[(f"{signal}-edge", "card", GRAPHICS) for signal in ("green", "amber", "red", "idle")],
    *[("focus", ground, GRAPHICS) for ground in ("paper", "card")],
]


def schemes() -> dict[str, dict[str, str]]:
    """The colours of the light and the dark scheme, by name."""
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = re.compile(r"--([a-z-]+): (#[0-9a-f]{6});")
    found = {"light": dict(colours.findall(light)), "dark": dict(colours.findall(dark))}
    assert set(found["light"]) == set(found["dark"])
    return found


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, bright = sorted([luminance(one), luminance(other)])
    return (bright + 0.05) / (dark + 0.05)


def test_the_contrast_is_computed_as_wcag_does() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground", "least"), PAIRS)
def test_every_pair_of_colours_can_be_told_apart(scheme, ink, ground, least) -> None:
    colours = schemes()[scheme]
    assert contrast(colours[ink], colours[ground]) >= least


def lit(signal: Signal, lamp: str, second: float) -> bool:
    """Whether the style sheet lights a lamp: its rules played by hand."""
    style = rhythm_style()
    rule = re.search(rf'\[data-signal="{signal}"\] \.lamp-{lamp} \{{ (.*?) \}}', style)
    if rule is None:
        return False
    played = re.search(r"animation: (\S+) ([\d.]+)s step-end infinite", rule[1])
    if played is None:
        return rule[1] == "opacity: 1;"
    frames = re.search(rf"@keyframes {played[1]} \{{ (.*) \}}$", style, re.MULTILINE)
    assert frames is not None
    share = second % float(played[2]) / float(played[2]) * 100
    steps = re.findall(r"([\d.]+)% \{ opacity: ([01]); \}", frames[1])
    return [state for at, state in steps if float(at) <= share][-1] == "1"


@pytest.mark.parametrize("signal", list(Signal))
def test_the_lamps_blink_as_the_real_ones_do(signal: Signal) -> None:
    period = RHYTHMS[signal].period
    for step in range(97):  # no sample falls on a change
        second = (step + 0.3) / 97 * 2 * period
        real = lamps_at(signal, second)
        for lamp in LAMPS:
            assert lit(signal, lamp, second) == getattr(real, lamp), (lamp, second)


class Outline(HTMLParser):
    """Tags, ids, and that every element is closed."""

    VOID = frozenset({"meta", "link", "img", "input", "circle", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.fixture
def pages(web_settings, clock, says):
    """All HTML there is: the page in every signal, the form in both states."""
    from edge_app.sinks.web.board import Board

    made = Pages(preview=True, sign_out=True)
    texts = [made.login().body.decode(), made.login(wrong=True).body.decode()]
    for signal in Signal:
        board = Board(2.0, clock)
        board.put(says.observed(signal, "<b>why</b>", (says.face(),)), says.frame())
        texts.append(made.status(Viewer(web_settings, board, None, clock).view()).decode())
    return texts


def test_the_html_is_well_formed_and_fetches_from_nowhere_else(pages) -> None:
    for text in pages:
        outline = Outline(text)
        ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
        assert len(ids) == len(set(ids))
        assert ("html", {"lang": "en"}) in outline.tags
        for _, attrs in outline.tags:
            for key in ("src", "href", "action"):
                assert attrs.get(key, "/").startswith("/")
            assert "style" not in attrs, "the security policy forbids it"
            assert not [key for key in attrs if key.startswith("on")]
            for key in ("aria-labelledby", "aria-describedby", "for"):
                for name in (attrs.get(key) or "").split():
                    assert name in ids
        assert "$" not in text
        assert "<b>" not in text


def test_the_style_sheet_fetches_nothing() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE
