"""The journal on real disks that are full or read-only, behind real locks, and damaged."""

from __future__ import annotations

import logging
import random
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_app.backoff import BACKOFF_S
from edge_app.domain import Observation, Signal, Vitals
from edge_app.errors import JournalError
from edge_app.settings import JournalSettings
from edge_app.sinks import journal
from edge_app.sinks.journal import BATCH_ROWS, FILE_NAME, PRUNE_S, REFRESH_S, Journal
from edge_app.sinks.journal_file import KEEP_DAMAGED, JournalFile
from edge_app.sinks.journal_reader import each_event, recent
from edge_app.sinks.journal_schema import Row
from tests.disks import Card, Disk

SETTINGS = JournalSettings()
SIGNALS = (Signal.IDLE, Signal.NO_MASK)


class Door:
    """A journal and what happens in front of it: an event a second."""

    def __init__(self, path: Path, clock: Any) -> None:
        self.path = path
        self.journal = Journal(path, SETTINGS, clock)
        self.count = 0
        self.time = 0.0

    def next(self) -> None:
        """The next event."""
        i, self.count = self.count, self.count + 1
        at, self.time = self.time, self.time + 1
        self.journal.handle(Observation(i, at, SIGNALS[i % 2], f"event {i}"), None)

    def recovers(self) -> None:
        """Time passes until the journal tries again, then the next event comes."""
        self.time += BACKOFF_S[1]
        self.next()

    def fails(self, words: str) -> None:
        """The next event is not accepted, and the error is one line about the file."""
        with pytest.raises(JournalError) as caught:
            self.next()
        assert str(caught.value).startswith(f"{self.path}: ")
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)

    def until_it_fails(self, words: str) -> None:
        """The file may have some room left of its own."""
        with pytest.raises(JournalError, match=words):
            for _ in range(200):
                self.next()

    def close(self) -> None:
        self.journal.close()

    @property
    def written(self) -> list[str]:
        return [event.reason for event in each_event(self.path)]


def numbers(*spans: range) -> list[str]:
    return [f"event {i}" for span in spans for i in span]


@pytest.fixture
def door(clock: Any, tmp_path: Path) -> Iterator[Callable[..., Door]]:
    doors: list[Door] = []

    def make(path: Path = tmp_path / FILE_NAME) -> Door:
        doors.append(Door(path, clock))
        return doors[-1]

    yield make
    for one in doors:
        one.close()


def sound(path: Path) -> bool:
    db = sqlite3.connect(path)
    try:
        return bool(db.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    finally:
        db.close()


# Full and read-only disks


def test_a_full_disk_loses_nothing_and_is_told(
    door: Any, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    it = door(disk.folder / FILE_NAME)
    for _ in range(3):
        it.next()
    disk.fill()
    it.until_it_fails("full")
    for _ in range(20):
        it.fails("full")
    disk.empty()
    it.recovers()
    assert it.written == numbers(range(it.count))
    durations = [event.duration_s for event in each_event(it.path)]
    assert durations == [1.0] * (it.count - 2) + [1.0 + BACKOFF_S[1], 0.0]
    assert "written again; 0 events were lost" in caplog.text
    it.close()
    assert sound(it.path)


def test_a_disk_that_is_full_at_the_start(door: Any, disk: Disk) -> None:
    disk.fill()
    it = door(disk.folder / FILE_NAME)
    it.fails("full")
    it.fails("full")
    disk.empty()
    it.recovers()
    assert it.written == numbers(range(3))


def test_a_card_that_turns_read_only_loses_nothing(
    door: Any, card: Card, caplog: pytest.LogCaptureFixture
) -> None:
    it = door(card.folder / FILE_NAME)
    it.next()
    card.fail()
    for _ in range(5):
        it.fails("")
    card.repair()
    it.recovers()
    assert it.written == numbers(range(it.count))
    assert "written again; 0 events were lost" in caplog.text
    it.close()
    assert sound(it.path)


def test_a_disk_that_is_read_only_at_the_start(door: Any, disk: Disk) -> None:
    disk.remount("ro")
    it = door(disk.folder / FILE_NAME)
    it.fails("Read-only file system")
    disk.remount("rw")
    it.recovers()
    assert it.written == numbers(range(2))


def test_more_than_can_be_kept_is_counted(
    door: Any, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal, "KEPT_ROWS", 50)
    it = door(disk.folder / FILE_NAME)
    it.next()
    disk.fill()
    it.until_it_fails("full")
    before = len(it.written)
    for _ in range(199):
        it.fails("full")
    assert len(it.written) == before
    disk.empty()
    it.recovers()
    kept = it.written
    lost = it.count - len(kept)
    assert 140 < lost < 160
    assert f"written again; {lost} events were lost" in caplog.text
    assert kept == numbers(range(before), range(before + lost, it.count)), "the oldest were lost"
    assert [e.state for e in each_event(it.path)] == ["ended"] * (len(kept) - 1) + ["open"]


def test_many_kept_events_are_written_in_order(door: Any, disk: Disk) -> None:
    disk.fill()
    it = door(disk.folder / FILE_NAME)
    it.fails("full")
    with pytest.raises(JournalError):
        it.journal.report(Vitals(0.5, troubles={"journal": "full"}))
    for _ in range(2 * BATCH_ROWS + 10):
        with pytest.raises(JournalError):
            it.next()
    disk.empty()
    it.recovers()
    assert it.written == ["event 0", "full", *numbers(range(1, it.count))]


def test_what_cannot_be_written_at_the_end_is_told(
    door: Any, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.fill()
    it = door(disk.folder / FILE_NAME)
    it.fails("full")
    it.fails("full")
    it.close()
    it.close()
    assert "2 events are lost" in caplog.text


# Locks

HOLD = """
    import sqlite3, sys
    db = sqlite3.connect(sys.argv[1], isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    print("locked", flush=True)
    sys.stdin.readline()
    db.execute("ROLLBACK")
    db.close()
    print("free", flush=True)
    sys.stdin.readline()
"""


def test_a_file_that_another_process_has_locked_loses_nothing(door: Any) -> None:
    it = door()
    it.next()
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(it.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        it.fails("another program has it locked")
        it.fails("another program has it locked")
        print(file=other.stdin, flush=True)
        assert other.stdout.readline() == "free\n"
        it.recovers()
        print(file=other.stdin, flush=True)
    assert it.written == numbers(range(4))


def test_between_two_attempts_the_disk_is_left_alone(door: Any, disk: Disk) -> None:
    disk.fill()
    it = door(disk.folder / FILE_NAME)
    it.fails("full")
    disk.empty()
    with pytest.raises(JournalError, match="full"):
        it.journal.report(Vitals(BACKOFF_S[0] / 2))
    it.journal.report(Vitals(BACKOFF_S[0]))
    assert it.written == numbers(range(1))


def test_a_commit_of_which_nobody_knows_is_not_written_twice(
    door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = door()
    it.next()
    real = JournalFile.write

    def fails_after_the_commit(self: JournalFile, rows: Any) -> None:
        real(self, rows)
        raise JournalError(f"{self.path}: the disk does not work as it should")

    with monkeypatch.context() as patch:
        patch.setattr(JournalFile, "write", fails_after_the_commit)
        it.fails("does not work")
    it.recovers()
    assert it.written == numbers(range(3))


# Damage


def filled(path: Path, count: int = 3000, day: str = "2026-03-02") -> int:
    """A closed journal of many pages; returns its size."""
    file = JournalFile(path)
    file.write(Row(i, 0, day, "signal", "IDLE", "x" * 50, 1, "ended") for i in range(count))
    file.close()
    return path.stat().st_size


def noise(at: float, length: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        begin = int(at * len(data)) // 4096 * 4096
        data[begin : begin + length] = random.Random(7).randbytes(length)
        path.write_bytes(data)

    return damage


def cut(to: float) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(to * path.stat().st_size)])


DAMAGES = {
    "noise over the header": noise(0, 100),
    "noise over the first page": noise(0, 4096),
    "noise over the middle": noise(0.5, 4096),
    "noise over everything": noise(0, 10_000_000),
    "noise over the end": noise(0.99, 4096),
    "cut in the middle": cut(0.5),
    "cut in a page": cut(0.503),
    "cut in the header": cut(0.0001),
    "a text file": lambda path: path.write_text("hello\n" * 1000),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "version of nonsense": lambda path: pragma(path, "user_version = 1836213621"),
    "no version": lambda path: pragma(path, "user_version = 0"),
    "another column": lambda path: pragma(
        path, "user_version = 1", "ALTER TABLE events ADD x TEXT"
    ),
}


def pragma(path: Path, text: str, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in (f"PRAGMA {text}", *statements):
        db.execute(statement)
    db.close()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(
    door: Any, tmp_path: Path, names: Any, caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    path = tmp_path / FILE_NAME
    filled(path)
    damage(path)
    wreck = path.read_bytes()
    it = door()
    it.next()
    it.next()
    it.close()
    assert it.written == numbers(range(2))
    aside = f"{FILE_NAME}.damaged-20260302-080000"
    assert [name for name in names(tmp_path) if not name.endswith("-wal")] == [FILE_NAME, aside]
    assert (tmp_path / aside).read_bytes() == wreck
    assert f"it is now {aside}, and a new journal begins" in caplog.text
    assert sound(path)


def test_damage_that_shows_while_the_kiosk_runs(door: Any, tmp_path: Path, names: Any) -> None:
    """A worn SD card: old pages have turned into noise when old events shall be deleted."""
    path = tmp_path / FILE_NAME
    size = filled(path, 40_000, "2020-01-01")
    assert size > 3_000_000, "more than SQLite remembers of it"
    it = door()
    it.next()
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(random.Random(3).randbytes(size // 2 // 4096 * 4096))
    it.journal.report(Vitals(PRUNE_S))
    it.time = PRUNE_S + 1
    it.next()
    assert it.written == numbers(range(2))
    it.close()
    assert sound(path)
    assert f"{FILE_NAME}.damaged-20260302-080000" in names(tmp_path)


def test_damage_that_does_not_show_is_found_at_the_next_start(door: Any, tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    size = filled(path)
    it = door()
    it.next()
    with path.open("r+b") as file:
        file.write(random.Random(3).randbytes(size))
    for _ in range(3):
        it.next()
    it.close()
    again = door()
    again.next()
    again.close()
    assert again.written == numbers(range(1))
    assert sound(path)


def test_only_a_few_damaged_files_are_kept(
    door: Any, tmp_path: Path, names: Any, clock: Any
) -> None:
    for _ in range(KEEP_DAMAGED + 3):
        clock.go(minutes=1)
        (tmp_path / FILE_NAME).write_bytes(b"noise" * 1000)
        it = door()
        it.next()
        it.close()
    assert names(tmp_path) == [
        FILE_NAME,
        f"{FILE_NAME}.damaged-20260302-080400",
        f"{FILE_NAME}.damaged-20260302-080500",
    ]


def test_a_damaged_file_on_a_read_only_disk_waits(door: Any, disk: Disk) -> None:
    path = disk.folder / FILE_NAME
    path.write_bytes(b"noise" * 1000)
    disk.remount("ro")
    it = door(path)
    it.fails("Read-only file system")
    disk.remount("rw")
    it.recovers()
    assert it.written == numbers(range(2))


@pytest.mark.parametrize("again", [False, True])
def test_a_file_that_somebody_removed_is_begun_anew(
    door: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, again: bool
) -> None:
    it = door()
    it.next()
    for file in tmp_path.iterdir():
        file.unlink()
    if again:
        filled(tmp_path / FILE_NAME, 1)
    it.journal.report(Vitals(REFRESH_S))
    assert "was removed or replaced; a new journal begins" in caplog.text
    assert it.written[-1:] == numbers(range(1)), "what goes on is in the new one too"
    assert recent(it.path, 1)[0].duration_s == REFRESH_S


def test_half_a_log_of_an_unclean_end_is_no_damage(
    door: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    it = door()
    for _ in range(10):
        it.next()
    wal = (tmp_path / f"{FILE_NAME}-wal").read_bytes()
    main = (tmp_path / FILE_NAME).read_bytes()
    it.close()
    with caplog.at_level(logging.WARNING):
        for part in (0, 10, 33, len(wal) // 2, len(wal) - 1, len(wal)):
            copy = tmp_path / f"copy-{part}.db"
            copy.write_bytes(main)
            copy.with_name(f"{copy.name}-wal").write_bytes(wal[:part])
            other = door(copy)
            other.next()
            *before, last = other.written
            assert last == "event 0"
            assert before == numbers(range(len(before)))
            other.close()
            assert sound(copy)
    assert len(before) == 10
    assert "damaged" not in caplog.text
