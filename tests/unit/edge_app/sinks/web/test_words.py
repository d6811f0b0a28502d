from __future__ import annotations

import pytest

from edge_app.domain import Signal
from edge_app.sinks.web import words


def test_every_signal_has_a_heading_of_its_own_and_advice() -> None:
    assert set(words.HEADINGS) == set(words.ADVICE) == set(Signal)
    assert len(set(words.HEADINGS.values())) == len(Signal)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nobody in view", "Nobody in view."),
        (
            "1 person without a mask (of 1 in view) (held)",
            "1 person without a mask (of 1 in view).",
        ),
        ("is it?", "Is it?"),
        ("", ""),
    ],
)
def test_a_reason_becomes_a_sentence(text: str, said: str) -> None:
    assert words.sentence(text) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"), (0.9, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"),
        (7500, "2 h 5 min"), (86_400, "1 day"), (4 * 86_400 + 3700, "4 days 1 h"),
    ],
)  # fmt: skip
def test_durations_for_people(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(0, "nobody"), (1, "1 person"), (20, "20 people")])
def test_people_are_counted(count: int, said: str) -> None:
    assert words.people(count) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.24, "0.2 ms"), (9.9, "9.9 ms"), (38.4, "38 ms"), (2000, "2 s")]
)
def test_milliseconds_have_two_digits(value: float, said: str) -> None:
    assert words.milliseconds(value) == said
