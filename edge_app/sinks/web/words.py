"""What the page says, in plain words for building staff."""

from __future__ import annotations

from edge_app.domain import Signal

HEADINGS = {
    Signal.FAULT: "Out of order",
    Signal.NO_MASK: "No mask",
    Signal.INCORRECT: "Mask not worn properly",
    Signal.COMPLIANT: "Masks worn properly",
    Signal.IDLE: "Ready",
}

ADVICE = {
    Signal.FAULT: "Do not rely on the light until this is repaired.",
    Signal.NO_MASK: "Please ask them to put a mask on.",
    Signal.INCORRECT: "It must cover nose, mouth and chin.",
    Signal.COMPLIANT: "Nothing to do.",
    Signal.IDLE: "The kiosk is watching.",
}

HELD = " (held)"
"""The policy marks so that a signal stays a moment longer; staff need not know."""

TWO_DIGITS = 10.0
"""Milliseconds from which a figure has two digits without a decimal place."""

SECOND_MS = 1000.0

MINUTE, HOUR, DAY = 60, 3600, 86400


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = text.removesuffix(HELD).strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def duration(seconds: float) -> str:
    """``12 s``, ``3 min``, ``2 h 5 min``, ``4 days 1 h``."""
    whole = max(0, int(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        hours, minutes = whole // HOUR, whole % HOUR // MINUTE
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = whole // DAY, whole % DAY // HOUR
    named = "1 day" if days == 1 else f"{days} days"
    return f"{named} {hours} h" if hours else named


def people(count: int) -> str:
    """``nobody``, ``1 person``, ``3 people``."""
    if not count:
        return "nobody"
    return f"{count} {'person' if count == 1 else 'people'}"


def milliseconds(value: float) -> str:
    """``0.8 ms``, ``12 ms`` or ``1.5 s``: two digits are enough."""
    if value >= SECOND_MS:
        return f"{value / SECOND_MS:g} s"
    return f"{value:.1f} ms" if value < TWO_DIGITS else f"{value:.0f} ms"
