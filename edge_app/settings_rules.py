"""What a setting may be: its rule, the check of a value, and the words for both."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import reprlib
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_app.errors import SettingsError

_LIMITED = reprlib.Repr()
_LIMITED.maxstring = _LIMITED.maxother = _LIMITED.maxlong = 60

USER = re.compile(r"(?<=://).*@", re.DOTALL)
QUERY = re.compile(r"(?<=://)([^?]*)\?.*", re.DOTALL)
"""In an address: user and password, and everything behind the question mark."""

REASON_LENGTH = 200
"""Characters of a library's own words in a message; a few libraries quote without end."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one setting means and may be.

    Attributes:
        doc: One line for people.
        low: Smallest number, or shortest string, that is allowed.
        high: Largest number, or longest string, that is allowed.
        choices: The only strings that are allowed, if there are any.
        pattern: What a string must look like, and an example of it; it may also be empty,
            unless ``low`` is above 0.
    """

    doc: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    pattern: tuple[re.Pattern[str], str] | None = None


def setting(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    pattern: tuple[re.Pattern[str], str] | None = None,
) -> Any:
    """A dataclass field that carries its own documentation and range, see :class:`Rule`."""
    rule = Rule(doc, low, high, choices, pattern)
    return dataclasses.field(default=default, metadata={"rule": rule})


def rules(section: type) -> dict[str, tuple[type, Rule]]:
    """Type and rule of every setting of a section; an optional float counts as a float."""
    hints = typing.get_type_hints(section)
    found: dict[str, tuple[type, Rule]] = {}
    for field in dataclasses.fields(section):
        kind = hints[field.name]
        if isinstance(kind, types.UnionType):
            kind = next(arg for arg in typing.get_args(kind) if arg is not types.NoneType)
        found[field.name] = (kind, field.metadata["rule"])
    return found


def allowed(kind: type, rule: Rule) -> str:
    """What a setting may be, in words: ``a whole number, 1..8``."""
    if kind is bool:
        return "true or false"
    if rule.choices:
        return "one of: " + ", ".join(f'"{choice}"' for choice in rule.choices)
    if rule.pattern:
        return f'{"" if rule.low else "empty, or "}text like "{rule.pattern[1]}"'
    if kind is str:
        many = f"{rule.low:g}..{rule.high:g}" if rule.low else f"at most {rule.high:g}"
        return f"text of {many} characters"
    noun = "a whole number" if kind is int else "a number"
    return f"{noun}, {rule.low:g}..{rule.high:g}"


def without_password(text: str) -> str:
    """An address as it may stand in logs: without user and password, and without its query.

    Network cameras take their password in either place. Hiding too much is safe here: a
    password may itself hold a slash or another ``@``.
    """
    return QUERY.sub(r"\1?***", USER.sub("***@", text))


def show(value: object) -> str:
    """A value as it may stand in a one-line message: short, and as TOML would write it."""
    if isinstance(value, str):
        value = without_password(value)
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return one_line(_LIMITED.repr(value))
    except ValueError:  # Python refuses to print whole numbers of more than 4300 digits
        return "a very large number"


def toml_value(value: str | float | bool) -> str:
    """A setting's value in TOML: JSON writes these kinds the same way."""
    return json.dumps(value, ensure_ascii=False)


def check_value(value: Any, kind: type, rule: Rule, where: str, dotted: str) -> Any:
    """The value in its setting's type, or a SettingsError that names it and what is allowed."""
    fits: Callable[[Any], bool]
    if kind is str:
        fits = _text_fits(rule)
    elif kind is bool:
        fits = _is_bool
    else:
        fits = _number_fits(kind, rule)
    if not fits(value):
        raise SettingsError(f"{where}: {dotted} = {show(value)} must be {allowed(kind, rule)}")
    return kind(value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _number_fits(kind: type, rule: Rule) -> Callable[[Any], bool]:
    kinds = (int,) if kind is int else (int, float)
    low = -math.inf if rule.low is None else rule.low
    high = math.inf if rule.high is None else rule.high
    return lambda v: isinstance(v, kinds) and not isinstance(v, bool) and low <= v <= high


def _text_fits(rule: Rule) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        if not isinstance(value, str) or not value.isprintable():
            return False
        if rule.choices:
            return value in rule.choices
        if rule.pattern:
            return (not value and not rule.low) or rule.pattern[0].fullmatch(value) is not None
        return (rule.low or 0) <= len(value) <= (rule.high or 0)

    return fits


def unknown(what: str, name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(known)}"
    return f"there is no {what} {show(name)}; {hint}"


def reason(error: Exception) -> str:
    """What a library says, in one short line."""
    line = one_line("".join(c if c.isprintable() else " " for c in str(error)))
    short = line if len(line) <= REASON_LENGTH else f"{line[:REASON_LENGTH]}..."
    return short or type(error).__name__


def one_line(text: str) -> str:
    return " ".join(text.split())
