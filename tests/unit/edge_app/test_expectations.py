import json
from pathlib import Path
from typing import Any

import pytest

from edge_app.domain import Signal
from edge_app.errors import ExpectationsError
from edge_app.expectations import Expectation, Failure, check, load_expectations
from edge_app.timeline import Span

TIMELINE = [
    Span(0.0, 1.0, Signal.IDLE, "nobody in view"),
    Span(1.0, 3.0, Signal.NO_MASK, "1 person without a mask"),
    Span(3.0, 6.0, Signal.COMPLIANT, "1 person with a mask"),
]


def wish(kind: Any, start: float, end: float, signal: Signal) -> Expectation:
    return Expectation(kind, start, end, signal)


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "met",
    [
        wish("throughout", 3.0, 6.0, Signal.COMPLIANT),
        wish("throughout", 3.5, 3.5, Signal.COMPLIANT),
        wish("reached", 0.0, 1.0, Signal.NO_MASK),
        wish("reached", 2.99, 2.99, Signal.NO_MASK),
        wish("reached", 5.0, 99.0, Signal.COMPLIANT),
    ],
)
def test_wishes_that_are_met(met: Expectation) -> None:
    assert check([met], TIMELINE) == []


@pytest.mark.parametrize(
    ("missed", "shown"),
    [
        (wish("throughout", 2.9, 5.0, Signal.COMPLIANT), (TIMELINE[1],)),
        (wish("throughout", 0.0, 5.0, Signal.NO_MASK), (TIMELINE[0], TIMELINE[2])),
        (wish("throughout", 2.0, 3.0, Signal.NO_MASK), (TIMELINE[2],)),
        (wish("reached", 0.0, 0.99, Signal.NO_MASK), (TIMELINE[0],)),
        (wish("reached", 3.0, 5.0, Signal.NO_MASK), (TIMELINE[2],)),
    ],
)
def test_wishes_that_are_missed_say_what_was_shown(
    missed: Expectation, shown: tuple[Span, ...]
) -> None:
    assert check([missed], TIMELINE) == [Failure(str(missed), shown)]


def test_a_clip_too_short_to_show_a_signal_throughout_has_not_shown_it() -> None:
    (failure,) = check([wish("throughout", 4.0, 6.5, Signal.COMPLIANT)], TIMELINE)
    assert failure.remark == "the clip ends at 6.00 s"


def test_nothing_shown_at_all_meets_no_wish() -> None:
    wishes = [wish("throughout", 0, 0, Signal.IDLE), wish("reached", 0, 1, Signal.IDLE)]
    assert len(check(wishes, [])) == 2


def test_a_fault_is_never_right_even_where_nothing_was_wished() -> None:
    fault = Span(6.0, 7.0, Signal.FAULT, "no fresh picture")
    assert check([], [*TIMELINE, fault]) == [
        Failure("no FAULT at any time", (fault,)),
    ]


def test_every_failing_wish_is_reported_and_reads_as_a_diff() -> None:
    wishes = [
        wish("throughout", 0.0, 2.0, Signal.COMPLIANT),
        wish("reached", 0.0, 0.5, Signal.INCORRECT),
    ]
    failures = check(wishes, TIMELINE)
    assert [failure.wanted for failure in failures] == [str(w) for w in wishes]
    assert failures[0].lines() == [
        "  - wanted 0.00 - 2.00 s throughout COMPLIANT",
        "  + shown  0.00 -   1.00 s  IDLE       nobody in view",
        "  + shown  1.00 -   3.00 s  NO_MASK    1 person without a mask",
    ]


def test_reads_the_documented_format_and_ignores_the_note(tmp_path: Path) -> None:
    path = write(
        tmp_path / "expected.json",
        {
            "what": "a remark",
            "a.mp4": [{"reached": [0, 1.2], "signal": "NO_MASK"}],
            "b.mkv": [{"throughout": [1, 2], "signal": "COMPLIANT"}],
            "only-no-faults.mp4": [],
        },
    )
    assert load_expectations(path) == {
        "a.mp4": (wish("reached", 0.0, 1.2, Signal.NO_MASK),),
        "b.mkv": (wish("throughout", 1.0, 2.0, Signal.COMPLIANT),),
        "only-no-faults.mp4": (),
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "not valid JSON"),
        ('{"a.mp4": [], "a.mp4": []}', "'a.mp4' stands there twice"),
        ([], "must be an object"),
        ({"a.mp4": {}}, "a.mp4: must be a list"),
        ({"a.mp4": [7]}, "item 1: must hold"),
        ({"a.mp4": [{"signal": "IDLE"}]}, "item 1: must hold"),
        ({"a.mp4": [{"throughout": [0, 1]}]}, "item 1: must hold"),
        ({"a.mp4": [{"reached": [0, 1], "signal": "IDLE", "by": 2}]}, "nothing else"),
        (
            {"a.mp4": [{"reached": [0, 1], "throughout": [0, 1], "signal": "IDLE"}]},
            "one of",
        ),
        ({"a.mp4": [{"reached": [2, 1], "signal": "IDLE"}]}, "0 <= start <= end"),
        ({"a.mp4": [{"reached": [-1, 1], "signal": "IDLE"}]}, "0 <= start <= end"),
        ({"a.mp4": [{"reached": [0, True], "signal": "IDLE"}]}, "0 <= start <= end"),
        ({"a.mp4": [{"reached": "01", "signal": "IDLE"}]}, "0 <= start <= end"),
        ('{"a.mp4": [{"reached": [0, NaN], "signal": "IDLE"}]}', "0 <= start <= end"),
        ('{"a.mp4": [{"reached": [0, 1e999], "signal": "IDLE"}]}', "0 <= start <= end"),
        ({"a.mp4": [{"reached": [0, 1], "signal": "FAULT"}]}, "signal = 'FAULT'"),
        ({"a.mp4": [{"reached": [0, 1], "signal": ["IDLE"]}]}, "must be one of: NO_MASK"),
    ],
)
def test_a_malformed_file_is_one_clear_line(tmp_path: Path, content: object, words: str) -> None:
    path = write(tmp_path / "expected.json", content)
    with pytest.raises(ExpectationsError) as caught:
        load_expectations(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert words in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ExpectationsError, match=r"nowhere\.json: cannot be read: No such file"):
        load_expectations(tmp_path / "nowhere.json")
