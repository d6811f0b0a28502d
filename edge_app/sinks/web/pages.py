"""The HTML pages and the files they need, made from the templates in ``assets``."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import Any

from edge_app.domain import Signal
from edge_app.rhythm import RHYTHMS
from edge_app.sinks.web.messages import HTML, Answer
from edge_app.sinks.web.view import View

ASSETS = Path(__file__).resolve().parent / "assets"

LAMPS = ("red", "amber", "green")


class Pages:
    """The pages, for one kiosk.

    Args:
        preview: Whether the page shows the camera's picture.
        sign_out: Whether there is a token, and so something to sign out from.
    """

    def __init__(self, *, preview: bool, sign_out: bool) -> None:
        self._layout = {
            "preview": _asset("preview.html") if preview else "",
            "layout": "with-preview" if preview else "without-preview",
            "sign_out": _asset("sign-out.html") if sign_out else "",
        }
        style = _asset("style.css") + rhythm_style()
        self.style = Answer(HTTPStatus.OK, style.encode(), "text/css; charset=utf-8")
        script = _asset("app.js").encode()
        self.script = Answer(HTTPStatus.OK, script, "text/javascript; charset=utf-8")
        self.icon = Answer(HTTPStatus.OK, _asset("icon.svg").encode(), "image/svg+xml")

    def status(self, view: View) -> bytes:
        """The status page, complete without any script."""
        text: Mapping[str, str] = view["text"]
        levels: Mapping[str, str] = view["levels"]
        values = {
            "signal": view["signal"],
            "events_rows": "".join(map(_event_row, view["events"])),
            "events_hidden": "" if view["events"] else "hidden",
            "troubles_items": "".join(f"<li>{html.escape(line)}</li>" for line in view["troubles"]),
            "troubles_hidden": "" if view["troubles"] else "hidden",
            # A picture that is not there must not be asked for.
            "picture_src": 'src="/preview.jpg"' if view["picture"] else "hidden",
            "no_picture_hidden": "hidden" if view["picture"] else "",
            **{f"text_{name}": html.escape(words) for name, words in text.items()},
            **{f"level_{name}": levels.get(name, "") for name in ("face", "camera")},
            **{f"level_{name}": levels.get(name, "") for name in ("latency", "throttling")},
        }
        preview = Template(self._layout["preview"]).substitute(values)
        layout = {**self._layout, "preview": preview}
        return Template(_asset("status.html")).substitute({**values, **layout}).encode()

    def login(self, *, wrong: bool = False) -> Answer:
        """The form that asks for the token; ``wrong``: it was not the right one."""
        hidden, invalid = ("", "true") if wrong else ("hidden", "false")
        page = Template(_asset("login.html")).substitute(wrong_hidden=hidden, invalid=invalid)
        return Answer(HTTPStatus.FORBIDDEN if wrong else HTTPStatus.OK, page.encode(), HTML)


def rhythm_style() -> str:
    """CSS that lights the page's lamps in the rhythm of the real ones."""
    rules: list[str] = []
    for signal, rhythm in RHYTHMS.items():
        for lamp in LAMPS:
            states = [getattr(lamps, lamp) for lamps, _ in rhythm.steps]
            if any(states):
                times = [seconds for _, seconds in rhythm.steps]
                rules += _lamp_rules(signal, lamp, states, times)
    return "\n".join(rules) + "\n"


def _lamp_rules(signal: Signal, lamp: str, states: list[bool], times: list[float]) -> Iterable[str]:
    selector = f'[data-signal="{signal}"] .lamp-{lamp}'
    if all(states):
        yield f"{selector} {{ opacity: 1; }}"
        return
    name, period = f"{signal}-{lamp}".lower(), sum(times)
    frames, begin = [], 0.0
    for lit, seconds in zip(states, times, strict=True):
        frames.append(f"{begin / period:.2%} {{ opacity: {int(lit)}; }}")
        begin += seconds
    frames.append(f"100% {{ opacity: {int(states[-1])}; }}")
    yield f"@keyframes {name} {{ {' '.join(frames)} }}"
    yield f"{selector} {{ opacity: 1; animation: {name} {period:g}s step-end infinite; }}"


def _event_row(event: Mapping[str, Any]) -> str:
    cells = {name: html.escape(str(value)) for name, value in event.items()}
    return (
        f'<tr data-signal="{cells["signal"]}">'
        f'<td><time datetime="{cells["begin"]}">{cells["time"]}</time></td>'
        f'<th scope="row"><span class="mark" aria-hidden="true"></span>{cells["heading"]}</th>'
        f"<td>{cells['duration']}</td><td>{cells['people']}</td></tr>"
    )


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
