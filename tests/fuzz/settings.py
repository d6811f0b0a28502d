"""Settings files: TOML with wild values under known and unknown keys, and damaged example files."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st

from edge_app.errors import SettingsError
from edge_app.settings import Settings, parse_settings, sections
from edge_app.settings_example import example
from edge_app.settings_rules import rules
from tests.fuzz.mutation import Mutator
from tests.fuzz.target import Target, Violation, Visit, checked_message, generated, mutated

KEYS = {name: list(rules(section)) for name, section in sections().items()}

ODD_NUMBERS = (
    "nan", "-nan", "inf", "-inf", "1e400", "-0.0", "0x7fffffffffffffff", "9" * 5000, "1_0", "+1",
    "0b1", "1e-400", "00", "1__0", ".5", "5.", "9223372036854775808",
)  # fmt: skip

ODD_VALUES = (
    *ODD_NUMBERS, "true", "false", "True", "[]", "{}", "[[]]", "1979-05-27T07:32:00Z", "07:32:00",
    "1979-05-27", "", "=", '"', "'''", '"""\n"""', '"\\u0000"', '"\\ud800"', "'\t'", '"\\e"',
    "[" * 50 + "]" * 50, "[" * 3000, "{a = " * 2000, "[" * 900 + "]" * 900,
    "0." + "3" * 9000, '"' + "x" * 100_000 + '"', "{ a = 1, a = 2 }",
)  # fmt: skip

ODD_LINES = (
    "\ufeff", "\0", "\r", "\u202e", "[", "]", "[[source]]", "[source", '["source"]', "[source.uri]",
    "source = 3", "[source]\n[source]", "#" + "x" * 10_000, "a." * 3000 + "a = 1", '"" = 1',
    "source.uri = 1", "\x85", "\u2028", "uri = 1", "[" + "a." * 1500 + "a]", "\ud7ff", "[policy]",
)  # fmt: skip

PLAIN_VALUES = ('"picamera"', '"mock"', "1", "0.5", "15", '"22:00-06:00"', "true", "640", '"none"')


# Made once: hypothesis takes longer to make a strategy than to draw from it.
VALUE = st.one_of(
    st.sampled_from(PLAIN_VALUES),
    st.sampled_from(ODD_VALUES),
    st.integers().map(str),
    st.integers(-2, 70).map(str),
    st.floats().map(repr),
    st.text(max_size=30).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text(max_size=30),
)
SECTION = st.sampled_from(list(KEYS))
KEY = {
    n: st.sampled_from(k) | st.sampled_from(("uri", "x", "'a b'", '""')) for n, k in KEYS.items()
}
ODD_LINE = st.sampled_from(ODD_LINES) | st.text(max_size=20)
UP_TO_3, UP_TO_4, UP_TO_9 = st.integers(0, 3), st.integers(0, 4), st.integers(0, 9)


@st.composite
def _file(draw: st.DrawFn) -> bytes:
    """A few sections with a few settings each, here and there a line that is none."""
    lines = []
    for _ in range(1 + draw(UP_TO_3)):
        name = draw(SECTION)
        if draw(UP_TO_9):
            lines.append(f"[{name}]")
        for _ in range(draw(UP_TO_3)):
            lines.append(f"{draw(KEY[name])} = {draw(VALUE)}")
        if not draw(UP_TO_4):
            lines.append(draw(ODD_LINE))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


class SettingsFiles(Target):
    """Parses each file the way ``run --settings`` does."""

    name: ClassVar[str] = "settings"
    suffix: ClassVar[str] = ".toml"

    def open(self) -> None:
        words = [w.encode("utf-8", "surrogatepass") for w in (*ODD_VALUES, *ODD_LINES)]
        words += [f"\n{key} = ".encode() for keys in KEYS.values() for key in keys]
        self._mutator = Mutator([example().encode(), b"[source]\nuri = 'clip.mp4'\n"], words)

    def cases(self, seed: int, start: int, count: int, visit: Visit) -> None:
        """Half of them made from the grammar, half damaged."""
        generated(_file(), seed, start, count // 2, visit)
        mutated(self._make, seed, start, count - count // 2, visit)

    def _make(self, chance: random.Random) -> bytes:
        return self._mutator.damage(chance)

    def judge(self, content: bytes) -> str:
        try:
            settings = parse_settings(content, str(Path("kiosk.toml")))
        except SettingsError as error:
            return checked_message(error)
        _check(settings)
        return "accepted, as the defaults" if settings == Settings() else "accepted"


def _check(settings: Settings) -> None:
    """Every value against its rule, in other words than the parser's."""
    for name, section in sections().items():
        for key, (kind, rule) in rules(section).items():
            value = getattr(getattr(settings, name), key)
            if value is None:
                continue
            right = type(value) is kind
            if kind in (int, float):
                right = right and math.isfinite(value)
                right = right and (rule.low is None or value >= rule.low)
                right = right and (rule.high is None or value <= rule.high)
            elif kind is str:
                right = right and value.isprintable()
                right = right and (not rule.choices or value in rule.choices)
                limit = 1000 if rule.high is None else rule.high
                right = right and (rule.low or 0) <= len(value) <= limit
            if not right:
                raise Violation("a value outside its rule", f"{name}.{key} = {value!r}"[:300])


TARGET = SettingsFiles
