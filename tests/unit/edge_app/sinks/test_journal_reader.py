"""Reading journals, whole and mutilated."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_app.domain import Observation, Signal
from edge_app.errors import JournalError, SettingsError
from edge_app.settings import JournalSettings
from edge_app.sinks.journal import Journal
from edge_app.sinks.journal_file import JournalFile
from edge_app.sinks.journal_reader import daily_counts, each_event, recent, signal_before
from edge_app.sinks.journal_schema import Row

DAYS = ("2026-03-01", "2026-03-02")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred events on two days."""
    path = tmp_path_factory.mktemp("journal") / "events.sqlite3"
    file = JournalFile(path)
    file.write(
        Row(
            1_772_400_000_000 + i * 1000, 3600, DAYS[i // 100], "signal", str(list(Signal)[i % 5]),
            f"event {i}", 0.5, "ended", i % 4, None if i % 2 else 0.75,
        )
        for i in range(200)
    )  # fmt: skip
    file.close()
    return path


def test_the_last_ones_the_newest_first(path: Path) -> None:
    assert [event.id for event in recent(path, 3)] == [200, 199, 198]
    assert len(recent(path, 1000)) == 200
    last = recent(path, 1)[0]
    assert last.begin.isoformat() == "2026-03-01T22:23:19+01:00"
    assert (last.kind, last.name, last.reason) == ("signal", "IDLE", "event 199")
    assert (last.duration_s, last.people, last.confidence) == (0.5, 3, None)


def test_a_day_and_what_came_before_it(path: Path) -> None:
    second = datetime.date(2026, 3, 2)
    assert [event.id for event in each_event(path, second)] == list(range(101, 201))
    before = signal_before(path, second)
    assert before is not None
    assert before.id == 100
    assert signal_before(path, datetime.date(2026, 3, 1)) is None


def test_counts_by_day(path: Path) -> None:
    counts = daily_counts(path)
    assert [(str(c.day), c.name, c.count, c.seconds) for c in counts[:2]] == [
        ("2026-03-01", "COMPLIANT", 20, 10.0),
        ("2026-03-01", "FAULT", 20, 10.0),
    ]
    assert len(counts) == 10


def test_an_iterator_that_is_left_gives_the_file_back(path: Path) -> None:
    events = each_event(path)
    assert isinstance(events, Iterator)
    next(events)
    del events
    assert [file.name for file in path.parent.iterdir()] == [path.name]


edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=40)),
    min_size=1,
    max_size=6,
)


def mutilate(content: bytes, edits: list[tuple[float, bytes]], end: float) -> bytes:
    changed = bytearray(content)
    for where, noise in edits:
        at = int(where * len(changed))
        changed[at : at + len(noise)] = noise
    return bytes(changed[: int(end * len(changed)) + 1])


@example(edits=[(0.12219453961213113, b"A00A\x80")], end=1.0)  # a column's name is no UTF-8
@example(edits=[(0.1171875, b"[")], end=1.0)  # SQLite's message quotes the whole schema
@example(edits=[(0.109375, b"\x80")], end=1.0)  # and that message is no UTF-8
@given(edits=edits, end=st.floats(0, 1) | st.just(1.0))
def test_any_damage_is_one_line_to_readers_and_no_crash_to_the_kiosk(
    path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    edits: list[tuple[float, bytes]],
    end: float,
) -> None:
    copy = tmp_path_factory.mktemp("mutilated") / "events.sqlite3"
    copy.write_bytes(mutilate(path.read_bytes(), edits, end))
    for read in (
        lambda: recent(copy, 10),
        lambda: list(each_event(copy)),
        lambda: daily_counts(copy),
    ):
        try:
            read()
        except JournalError as error:
            assert str(error).count("\n") == 0  # noqa: PT017 - both outcomes are right
    logging.disable()
    try:
        journal = Journal(copy, JournalSettings())
    except SettingsError as error:
        assert "was written by a newer" in str(error)  # noqa: PT017 - noise in the version alone
        return
    finally:
        logging.disable(logging.NOTSET)
    for i in range(2):
        journal.handle(Observation(0, i, list(Signal)[i], f"new {i}"), None)
    journal.close()
    assert [event.reason for event in recent(copy, 2)] == ["new 1", "new 0"]
