"""The journal on real SQLite files."""

from __future__ import annotations

import datetime
import itertools
import logging
import sqlite3
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import Box, Face, MaskState, Observation, Signal, Verdict, Vitals
from edge_app.errors import JournalError, SettingsError
from edge_app.settings import JournalSettings
from edge_app.sinks import Sink, journal_schema
from edge_app.sinks.journal import (
    BYTES_PER_MB,
    FILE_NAME,
    PRUNE_S,
    REFRESH_S,
    Journal,
    journal_path,
)
from edge_app.sinks.journal_file import PRUNE_ROWS, JournalFile
from edge_app.sinks.journal_reader import Event, each_event, recent
from edge_app.sinks.journal_schema import Row

SETTINGS = JournalSettings()
DAY_S = 86400.0


def seen(
    time: float,
    signal: Signal = Signal.IDLE,
    reason: str = "",
    verdicts: tuple[tuple[MaskState | None, float], ...] = (),
) -> Observation:
    faces = tuple(
        Face(Box(0, 0, 50, 50), 0.9, Verdict({state or MaskState.WITH_MASK: confidence}, state))
        for state, confidence in verdicts
    )
    return Observation(0, time, signal, reason or f"{signal} it is", faces)


def vitals(time: float, troubles: Mapping[str, str] | None = None) -> Vitals:
    return Vitals(time, troubles=troubles or {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


@pytest.fixture
def opened(path: Path, clock: Any) -> Callable[..., Journal]:
    """Opens journals, and closes them in the end."""
    made: list[Journal] = []

    def open_one(settings: JournalSettings = SETTINGS, where: Path = path) -> Journal:
        made.append(Journal(where, settings, clock))
        return made[-1]

    yield open_one  # type: ignore[misc]
    for journal in made:
        journal.close()


def events(path: Path) -> list[Event]:
    return list(each_event(path))


def told(path: Path) -> list[tuple[str, float, str]]:
    """Name, duration and state of every event."""
    return [(event.name, event.duration_s, event.state) for event in events(path)]


# What is written


def test_one_event_per_stretch_of_a_signal(opened: Any, path: Path) -> None:
    journal: Sink = opened()
    for i in range(10):
        journal.handle(seen(100 + i / 10), None)
    for i in range(30):
        journal.handle(seen(101 + i / 10, Signal.NO_MASK, f"frame {i}"), None)
    journal.handle(seen(104, Signal.COMPLIANT), None)
    journal.report(vitals(106))
    journal.close()
    journal.close()
    assert told(path) == [
        ("IDLE", 1.0, "ended"),
        ("NO_MASK", 3.0, "ended"),
        ("COMPLIANT", 2.0, "ended"),
    ]
    assert [event.reason for event in events(path)] == ["IDLE it is", "frame 0", "COMPLIANT it is"]
    assert [event.kind for event in events(path)] == ["signal"] * 3


def test_a_change_is_in_the_file_at_once(opened: Any, path: Path) -> None:
    journal = opened()
    journal.handle(seen(1), None)
    assert told(path) == [("IDLE", 0.0, "open")]
    journal.handle(seen(3.5, Signal.NO_MASK), None)
    assert told(path) == [("IDLE", 2.5, "ended"), ("NO_MASK", 0.0, "open")]


def test_the_end_of_what_goes_on_is_refreshed(opened: Any, path: Path) -> None:
    journal = opened()
    journal.handle(seen(0), None)
    for second in range(1, int(REFRESH_S) + 1):
        journal.report(vitals(float(second)))
    assert told(path) == [("IDLE", REFRESH_S, "open")]
    journal.report(vitals(1.9 * REFRESH_S))
    assert told(path) == [("IDLE", REFRESH_S, "open")]


def test_people_and_confidence(opened: Any, path: Path) -> None:
    bare, masked = (MaskState.WITHOUT_MASK, 0.9), (MaskState.WITH_MASK, 0.99)
    journal = opened()
    journal.handle(seen(0, Signal.NO_MASK, "", ((None, 0.4),)), None)
    journal.handle(seen(1, Signal.NO_MASK, "", (bare, (bare[0], 0.8), masked)), None)
    journal.handle(seen(2, Signal.NO_MASK, "", ((bare[0], 0.5),)), None)
    journal.handle(seen(3, Signal.IDLE), None)
    first, second = events(path)
    assert first.people == 3
    assert first.confidence == pytest.approx(0.85), "of the first verdicts that say so"
    assert (second.people, second.confidence) == (0, None)


def test_parts_in_trouble_get_events_of_their_own(opened: Any, path: Path) -> None:
    journal = opened()
    journal.handle(seen(0), None)
    journal.report(vitals(1, {"camera": "gone", "mqtt": "refused"}))
    journal.report(vitals(2, {"camera": "still gone"}))
    journal.report(vitals(5, {}))
    journal.close()
    found = [(e.kind, e.name, e.reason, e.duration_s, e.state) for e in events(path)]
    assert found == [
        ("signal", "IDLE", "IDLE it is", 5.0, "ended"),
        ("trouble", "camera", "gone", 4.0, "ended"),
        ("trouble", "mqtt", "refused", 1.0, "ended"),
    ]


def test_a_reason_that_is_no_text_is_written_all_the_same(opened: Any, path: Path) -> None:
    opened().handle(seen(0, Signal.FAULT, "clip-\udcff.mp4: \0 gone"), None)
    assert events(path)[0].reason == "clip-?.mp4: \0 gone"


def test_when_it_began_is_local_time_and_its_day(opened: Any, path: Path, clock: Any) -> None:
    clock.now = datetime.datetime(2026, 3, 1, 23, 59, 59, 250_000, tzinfo=clock.now.tzinfo)
    journal = opened()
    journal.handle(seen(0), None)
    clock.go(seconds=2)
    journal.handle(seen(2, Signal.NO_MASK), None)
    before, after = events(path)
    assert before.begin.isoformat() == "2026-03-01T23:59:59.250000+01:00"
    assert (before.day, after.day) == (datetime.date(2026, 3, 1), datetime.date(2026, 3, 2))
    assert list(each_event(path, datetime.date(2026, 3, 2))) == [after]


def test_the_last_ones_come_first(opened: Any, path: Path) -> None:
    journal = opened()
    for i, signal in enumerate(list(Signal) * 3):
        journal.handle(seen(float(i), signal), None)
    assert [event.name for event in recent(path, 2)] == ["IDLE", "COMPLIANT"]
    assert [event.id for event in recent(path, 99)] == list(range(15, 0, -1))


# Clocks


@pytest.mark.parametrize("jump", [{"days": 1}, {"days": -1}, {"hours": 1}, {"days": 20_000}])
def test_a_jumping_clock_makes_no_duration_wrong(
    opened: Any, path: Path, clock: Any, jump: dict[str, float]
) -> None:
    """The bad day: the wall clock jumps in the middle of a stretch, and back again later."""
    journal = opened()
    signals = (Signal.IDLE, Signal.NO_MASK, Signal.COMPLIANT, Signal.IDLE)
    for i, signal in enumerate(signals):
        journal.handle(seen(10.0 * i, signal), None)
        for second in range(1, 10):
            if second == 5 and i in (0, 2):
                clock.go(**{unit: by if i == 0 else -by for unit, by in jump.items()})
            clock.go(seconds=1)
            journal.report(vitals(10.0 * i + second))
        clock.go(seconds=1)
    journal.close()
    found = events(path)
    assert [event.duration_s for event in found] == [10.0, 10.0, 10.0, 9.0]
    assert [event.name for event in found] == list(signals), "in order, whatever the clock said"
    shift = datetime.timedelta(**jump)
    first = datetime.datetime(2026, 3, 2, 8, 0, 0, tzinfo=clock.now.tzinfo)
    assert [event.begin for event in found] == [
        first,
        first + shift + datetime.timedelta(seconds=10),
        first + shift + datetime.timedelta(seconds=20),
        first + datetime.timedelta(seconds=30),
    ]
    assert [event.day for event in found] == [event.begin.date() for event in found]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(list(Signal)),
        st.floats(-0.5, 30),
        st.floats(-2 * DAY_S, 2 * DAY_S),
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


@hypothesis.settings(max_examples=40)  # each one writes to the disk
@given(steps=STEPS)
def test_durations_add_up_whatever_the_wall_clock_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Signal, float, float, bool]]
) -> None:
    wall = datetime.datetime(2026, 3, 2, 8, tzinfo=datetime.UTC)
    path = tmp_path_factory.mktemp("journal") / FILE_NAME
    journal = Journal(path, SETTINGS, lambda: wall)
    time = newest = 0.0
    journal.handle(seen(0.0), None)
    for signal, pause, jump, only_report in steps:
        time, wall = max(0.0, time + pause), wall + datetime.timedelta(seconds=jump)
        newest = max(newest, time)
        if only_report:
            journal.report(vitals(time))
        else:
            journal.handle(seen(time, signal), None)
    journal.close()
    durations = [event.duration_s for event in events(path)]
    assert all(duration >= 0 for duration in durations)
    assert sum(durations) == pytest.approx(newest, abs=0.001 * len(durations))


# Where


def test_the_file_is_private(opened: Any, path: Path, names: Any) -> None:
    journal = opened()
    journal.handle(seen(0), None)
    assert names(path.parent) == [FILE_NAME, f"{FILE_NAME}-shm", f"{FILE_NAME}-wal"]
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    journal.close()
    assert names(path.parent) == [FILE_NAME]


def test_a_file_open_to_others_is_made_private(
    opened: Any, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened().close()
    path.chmod(0o644)
    opened()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "was open to others; now it is private" in caplog.text


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert journal_path(JournalSettings()) is None
    monkeypatch.setenv("STATE_DIRECTORY", "/state/kiosk:/state/other")
    assert journal_path(JournalSettings()) == Path("/state/kiosk/events.sqlite3")
    assert journal_path(JournalSettings(path="own/j.db")) == Path("own/j.db")


def test_a_missing_folder_is_made(opened: Any, tmp_path: Path) -> None:
    where = tmp_path / "new folder" / "with ?odd& 100% name#.db"
    opened(where=where).handle(seen(0), None)
    assert told(where) == [("IDLE", 0.0, "open")]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("folder", "is a folder; name a file"),
        ("file/below.db", "its folder cannot be made or entered"),
        ("file", "is another program's file"),
        ("newer", "was written by a newer mask-kiosk (version 99, this one knows 1)"),
    ],
)
def test_what_can_never_be_a_journal_ends_the_start(
    opened: Any, tmp_path: Path, where: str, words: str
) -> None:
    (tmp_path / "folder").mkdir()
    other = sqlite3.connect(tmp_path / "file")
    other.execute("CREATE TABLE invoices (a)")
    other.close()
    opened(where=tmp_path / "newer").close()
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    before = (tmp_path / "file").read_bytes()
    with pytest.raises(SettingsError) as caught:
        opened(where=tmp_path / where)
    assert str(caught.value).startswith(f"journal.path = {tmp_path / where}: ")
    assert words in str(caught.value)
    assert (tmp_path / "file").read_bytes() == before


# After a crash


def crash(journal: Journal) -> None:
    """Leave the file as a kill would: what was committed is there, nothing else happens."""
    journal._file._db.close()  # type: ignore[union-attr]
    journal._file, journal._closed = None, True


def test_what_a_crash_left_open_is_closed_at_its_last_refresh(
    opened: Any, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = opened()
    journal.handle(seen(1000), None)
    journal.report(vitals(1000 + REFRESH_S, {"camera": "gone"}))
    journal.report(vitals(1000 + REFRESH_S + 30, {"camera": "gone"}))
    crash(journal)
    again = opened()
    again.handle(seen(5, Signal.NO_MASK), None)
    assert told(path) == [
        ("IDLE", REFRESH_S, "cut"),
        ("camera", 0.0, "cut"),
        ("NO_MASK", 0.0, "open"),
    ]
    assert "the last run ended without saying so" in caplog.text


# Keeping


def fill(path: Path, count: int, day: str = "2026-03-02") -> None:
    """Add ended events, all in one transaction."""
    file = JournalFile(path)
    words = "2 people without a mask (of 5 in view)"
    file.write(
        Row(i, 3600, day, "signal", "NO_MASK", words, 1.5, "ended", 5, 0.91) for i in range(count)
    )
    file.close()


def on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir() if "-shm" not in file.name)


def test_events_of_too_long_ago_are_deleted(opened: Any, path: Path, clock: Any) -> None:
    journal = opened(JournalSettings(keep_days=3))
    time = 0.0
    for _ in range(6):
        journal.handle(seen(time, Signal.NO_MASK), None)
        journal.handle(seen(time + 60, Signal.IDLE), None)
        time += DAY_S
        clock.go(days=1)
        journal.report(vitals(time))
    days = sorted({event.day.day for event in events(path)})
    assert days == [5, 6, 7], "today is the 8th"


def test_what_is_still_going_on_is_never_deleted(opened: Any, path: Path, clock: Any) -> None:
    journal = opened(JournalSettings(keep_days=1))
    journal.handle(seen(0), None)
    for day in range(1, 10):
        clock.go(days=1)
        journal.report(vitals(day * DAY_S))
    assert told(path) == [("IDLE", 9 * DAY_S, "open")]


def test_a_file_that_grew_too_large_shrinks_and_stays_so(opened: Any, path: Path) -> None:
    journal = opened(JournalSettings(max_mb=1))
    for hour in range(40):
        fill(path, 500)
        journal.handle(seen(hour * PRUNE_S, (Signal.IDLE, Signal.NO_MASK)[hour % 2]), None)
        assert on_disk(path) <= BYTES_PER_MB
    kept = events(path)
    assert kept[-1].id == 40 * 501
    assert [event.id for event in kept] == list(range(kept[0].id, 40 * 501 + 1)), "the oldest went"
    assert 2000 < len(kept) < 10_000


def test_a_limit_that_was_lowered_is_reached_in_small_steps(opened: Any, path: Path) -> None:
    fill(path, 12_000)
    before = on_disk(path)
    assert before > BYTES_PER_MB
    journal = opened(JournalSettings(max_mb=1))
    journal.handle(seen(0), None)
    counts = []
    for step in range(20):
        journal.report(vitals(PRUNE_S + step * REFRESH_S))
        counts.append(len(events(path)))
    assert on_disk(path) < BYTES_PER_MB / 2, "room is left for the log"
    assert max(a - b for a, b in itertools.pairwise(counts)) == PRUNE_ROWS
    assert counts[-1] == counts[-2], "and no more than needed"
    journal.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


# Versions


def test_an_older_file_is_brought_up_to_date(
    opened: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened().handle(seen(0), None)
    more = (*journal_schema.MIGRATIONS, ("ALTER TABLE events ADD COLUMN door TEXT",))
    monkeypatch.setattr(journal_schema, "MIGRATIONS", more)
    monkeypatch.setattr(journal_schema, "VERSION", 2)
    monkeypatch.setattr(journal_schema, "COLUMN_NAMES", (*journal_schema.COLUMN_NAMES, "door"))
    opened().handle(seen(0, Signal.NO_MASK), None)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    assert db.execute("SELECT name, door FROM events").fetchall() == [
        ("IDLE", None),
        ("NO_MASK", None),
    ]
    db.close()


def test_a_step_that_fails_leaves_the_old_version(
    opened: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened().close()
    bad = ("ALTER TABLE events ADD COLUMN door TEXT", "ALTER TABLE absent ADD COLUMN door TEXT")
    monkeypatch.setattr(journal_schema, "MIGRATIONS", (*journal_schema.MIGRATIONS, bad))
    monkeypatch.setattr(journal_schema, "VERSION", 2)
    with pytest.raises(JournalError, match="no such table"):
        JournalFile(path)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert "door" not in [row[1] for row in db.execute("PRAGMA table_info(events)")]
    db.close()


def test_nothing_is_logged_when_all_is_well(opened: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        journal = opened()
        journal.handle(seen(0), None)
        journal.close()
    assert caplog.text == ""
