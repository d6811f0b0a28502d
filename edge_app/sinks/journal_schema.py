"""The journal's tables, their versions, and the words for what is wrong with a file.

Migration: ``PRAGMA user_version`` counts the entries of :data:`MIGRATIONS` that were
applied. An older file gets the missing ones when it is opened, each in one transaction
together with its number, so that a power cut leaves the old version or the new. A file of
a newer program is refused: it is never changed by a program that does not know it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edge_app.errors import JournalError, SettingsError

APPLICATION_ID = int.from_bytes(b"mask")
"""Marks the file as ours, also where its tables are damaged."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY,         -- in the order in which they began
            begin_ms INTEGER NOT NULL,      -- UTC, milliseconds since 1970, as the clock stood then
            utc_offset_s INTEGER NOT NULL,  -- local time minus UTC
            day TEXT NOT NULL,              -- local date of the beginning, YYYY-MM-DD
            duration_s REAL NOT NULL,       -- from a clock that only moves forward
            state TEXT NOT NULL,            -- open, ended, or cut: its end was not seen
            kind TEXT NOT NULL,             -- signal: the light; trouble: a part that did not work
            name TEXT NOT NULL,             -- the signal, or the part
            reason TEXT NOT NULL,
            people INTEGER NOT NULL,        -- most in view at once
            confidence REAL                 -- of the verdicts that began it, 0..1
        ) STRICT""",
        "CREATE INDEX events_by_day ON events (day)",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
)
"""Statements that make each version out of the one before."""

VERSION = len(MIGRATIONS)

MAX_VERSION = 1000
"""A file that names a higher version is damaged: no program will ever count so far."""

COLUMN_NAMES = (
    "id",
    "begin_ms",
    "utc_offset_s",
    "day",
    "duration_s",
    "state",
    "kind",
    "name",
    "reason",
    "people",
    "confidence",
)
COLUMNS = ", ".join(COLUMN_NAMES)

MESSAGE_LENGTH = 100
"""Characters of SQLite's own words at most: they may quote a whole damaged schema."""

_HINTS = MappingProxyType(
    {
        sqlite3.SQLITE_FULL: "the disk is full: make room",
        sqlite3.SQLITE_READONLY: "the file or its file system is read-only",
        sqlite3.SQLITE_BUSY: "another program has it locked: close that program",
        sqlite3.SQLITE_LOCKED: "another program has it locked: close that program",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened: is the disk full, or the folder read-only?",
        sqlite3.SQLITE_IOERR: "the disk does not work as it should: is it full, or the card worn?",
        sqlite3.SQLITE_PERM: "access is forbidden: who owns it?",
        sqlite3.SQLITE_CORRUPT: "it is damaged",
        sqlite3.SQLITE_NOTADB: "it is damaged, or not a journal",
    }
)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY = 0xFF
"""SQLite's extended error codes hold the primary one in their lowest byte."""


class DamagedJournalError(JournalError):
    """The file is no SQLite file, or its contents contradict each other."""


@dataclass(slots=True)
class Row:
    """One stretch as the file holds it; see :data:`MIGRATIONS` for the meanings.

    ``id`` is None until the stretch was written once.
    """

    begin_ms: int
    utc_offset_s: int
    day: str
    kind: str
    name: str
    reason: str
    duration_s: float = 0.0
    state: str = "open"
    people: int = 0
    confidence: float | None = None
    id: int | None = None


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into one line about ``path``.

    Raises:
        DamagedJournalError: The file is damaged.
        JournalError: Anything else went wrong.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
        kind = DamagedJournalError if code in _DAMAGE else JournalError
        said = textwrap.shorten(str(error), MESSAGE_LENGTH)
        words = f"{_HINTS[code]} ({said})" if code in _HINTS else said
        raise kind(f"{path}: {words}") from None
    except UnicodeDecodeError:  # noise that SQLite's own message would have quoted
        raise DamagedJournalError(f"{path}: it is damaged") from None
    except JournalError:
        raise
    except OSError as error:
        raise JournalError(f"{path}: cannot be opened: {error.strerror or error}") from None


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def decode(raw: bytes) -> str:
    """Text as it is; noise in it is no error here, a damaged name is seen by its look."""
    return raw.decode("utf-8", "replace")


def check_schema(db: sqlite3.Connection, path: Path) -> int:
    """The version of a journal, 0 for an empty file.

    Raises:
        SettingsError: It is another program's file, or that of a newer version of this one.
        DamagedJournalError: Its version or its tables cannot be right.
        sqlite3.Error: It cannot be read.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if tables and "events" not in tables and not ours:
        raise SettingsError(f"journal.path = {path}: is another program's file; name another one")
    if not 0 <= version <= MAX_VERSION or bool(version) != bool(tables):
        raise DamagedJournalError(f"{path}: it is damaged (version {version} cannot be right)")
    if version > VERSION:
        raise SettingsError(
            f"journal.path = {path}: was written by a newer mask-kiosk (version {version}, this "
            f"one knows {VERSION}); install that, or name another file"
        )
    if version == VERSION:
        found = tuple(row[1] for row in db.execute("PRAGMA table_info(events)"))
        if found != COLUMN_NAMES:
            raise DamagedJournalError(f"{path}: it is damaged (its columns cannot be right)")
    return version


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring a journal of an older version, or an empty one, up to date.

    Raises:
        sqlite3.Error: It cannot be written; it has the version before the step that failed.
    """
    for number in range(version, VERSION):
        with transaction(db):
            for statement in MIGRATIONS[number]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number + 1}")
