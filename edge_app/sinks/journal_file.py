"""The journal's file: SQLite, its size bounded, written so that a power cut takes nothing back.

Durability: write-ahead log with ``synchronous=FULL``, one disk flush per transaction. With
``NORMAL`` a power cut would take back the last half minute of events, which is how long
Linux keeps written pages in memory. A kiosk commits when the light changes and once a
minute, so the flushes cost an SD card little.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_app.errors import JournalError
from edge_app.sinks.journal_schema import (
    COLUMNS,
    MESSAGE_LENGTH,
    DamagedJournalError,
    Row,
    check_schema,
    decode,
    migrate,
    told,
    transaction,
)

log = logging.getLogger(__name__)

BUSY_S = 0.25
"""Patience with another program's lock. Somebody's own query takes milliseconds; a longer
wait would hold up the other sinks, and the events are kept meanwhile anyway."""

WAL_PAGES = 100
"""The write-ahead log is folded into the file at so many pages of 4 KiB."""

WAL_ROOM_BYTES = 600_000
"""What the log may take beside the file: its pages and one large transaction."""

PRIVATE_MODE = 0o600

PRUNE_ROWS = 1000
"""Rows that one call of :meth:`JournalFile.prune` deletes at most for each reason: a
fraction of a second on an SD card, and more than a busy door adds between two calls."""

VACUUM_PAGES = 256
"""Pages of 4 KiB that one such call gives back to the disk at most: what its rows took, twice."""

LOW_WATER = 0.9
"""A file that grew too large shrinks to this part of its limit, so that it happens seldom."""

KEEP_DAMAGED = 2
"""Damaged files that stay beside the journal, for whoever may want to rescue something."""


class JournalFile:
    """An open journal; made, or brought to the newest version, as needed.

    Used by one thread at a time. All methods raise as :func:`told` does.

    Args:
        path: Where; its folder must be there. A new file is private to its owner, an old
            one is made so.

    Raises:
        SettingsError: It is another program's file, or that of a newer version of this one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with told(path):
            _make_if_missing(path)
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._db.text_factory = decode
                self._prepare()
                self._inode = path.stat().st_ino
            except BaseException:
                self._db.close()
                raise

    def check(self) -> None:
        """Read the whole file and look for damage: seconds for a large one."""
        with told(self.path):
            found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                words = textwrap.shorten(found, MESSAGE_LENGTH)
                raise DamagedJournalError(f"{self.path}: it is damaged ({words})")

    def cut_open(self) -> int:
        """Close what an earlier run left open, at its last refresh; returns how many."""
        with told(self.path), transaction(self._db):
            return self._db.execute("UPDATE events SET state = 'cut' WHERE state = 'open'").rowcount

    def write(self, rows: Iterable[Row]) -> None:
        """Insert or update rows in one transaction; afterwards they survive a power cut.

        May be called again with the same rows after any error, even one that leaves open
        whether the transaction happened: a row that is there already is not written twice.
        """
        with told(self.path), transaction(self._db):
            for row in rows:
                if row.id is None or not self._update(row):
                    row.id = self._insert(row)

    def prune(self, first_day: str, max_bytes: int) -> int:
        """Delete a limited number of rows that are too old or too many; shrink the file.

        Args:
            first_day: Rows of earlier days go, ``YYYY-MM-DD``.
            max_bytes: The oldest rows go while the file and its log may exceed this.

        Returns:
            How many rows were deleted; more remain to be deleted if that is at least
            :data:`PRUNE_ROWS`.
        """
        with told(self.path):
            with transaction(self._db):
                deleted = self._db.execute(
                    "DELETE FROM events WHERE id IN (SELECT id FROM events "
                    "WHERE day < ? AND state != 'open' ORDER BY id LIMIT ?)",
                    (first_day, PRUNE_ROWS),
                ).rowcount
            deleted += self._delete_oldest(max_bytes - WAL_ROOM_BYTES)
            if self._pragma("freelist_count"):
                # execute() would stop after the first page.
                self._db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
                self._pragma("wal_checkpoint(TRUNCATE)")
        return deleted

    def in_place(self) -> bool:
        """Whether the name still leads to this file: nobody removed or replaced it."""
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Fold the log into the file and let go of it; a second call does nothing."""
        with told(self.path):
            self._db.close()

    def _prepare(self) -> None:
        pragma = self._pragma
        version = check_schema(self._db, self.path)
        if self.path.stat().st_mode & ~PRIVATE_MODE & 0o777:
            self.path.chmod(PRIVATE_MODE)
            log.warning("%s: was open to others; now it is private (mode 600)", self.path)
        if not version:
            pragma("auto_vacuum = INCREMENTAL")  # only has a meaning before the first table
        pragma("journal_mode = WAL")
        pragma("synchronous = FULL")
        pragma(f"wal_autocheckpoint = {WAL_PAGES}")
        pragma(f"journal_size_limit = {WAL_ROOM_BYTES}")
        pragma("cell_size_check = ON")
        pragma("trusted_schema = OFF")
        migrate(self._db, version)

    def _pragma(self, text: str) -> Any:
        found = self._db.execute(f"PRAGMA {text}").fetchone()
        return found and found[0]

    def _update(self, row: Row) -> bool:
        return bool(
            self._db.execute(
                "UPDATE events SET duration_s = ?, state = ?, people = ?, confidence = ? "
                "WHERE id = ? AND begin_ms = ? AND name = ?",
                (
                    row.duration_s,
                    row.state,
                    row.people,
                    row.confidence,
                    row.id,
                    row.begin_ms,
                    row.name,
                ),
            ).rowcount
        )

    def _insert(self, row: Row) -> int | None:
        return self._db.execute(
            f"INSERT INTO events ({COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants only # nosec B608
            (
                row.begin_ms,
                row.utc_offset_s,
                row.day,
                row.duration_s,
                row.state,
                row.kind,
                row.name,
                row.reason,
                row.people,
                row.confidence,
            ),
        ).lastrowid

    def _delete_oldest(self, limit: int) -> int:
        pages, free, size = (
            self._pragma(name) for name in ("page_count", "freelist_count", "page_size")
        )
        used = (pages - free) * size
        if used <= limit:
            return 0
        # Counting them all would read the whole file.
        (rows,) = self._db.execute("SELECT max(id) - min(id) + 1 FROM events").fetchone()
        surplus = int(rows * (1 - LOW_WATER * limit / used)) + 1
        with transaction(self._db):
            return self._db.execute(
                "DELETE FROM events WHERE id IN (SELECT id FROM events "
                "WHERE state != 'open' ORDER BY id LIMIT ?)",
                (min(surplus, PRUNE_ROWS),),
            ).rowcount


def move_aside(path: Path, stamp: str) -> Path:
    """Give a damaged journal another name, so that a new one can begin; keeps the last few.

    Args:
        path: The journal; nobody may have it open any more.
        stamp: What to put into the new name, e.g. the time.

    Returns:
        The new name.

    Raises:
        JournalError: It cannot be renamed.
    """
    with told(path):
        target = path.with_name(f"{path.name}.damaged-{stamp}")
        if target.exists():
            raise JournalError(f"{path}: it is damaged, and {target.name} is there already")
        path.rename(target)
        wal = path.with_name(f"{path.name}-wal")
        if wal.exists():  # a rescuer needs both; left here it would be taken for the new file's
            wal.rename(target.with_name(f"{target.name}-wal"))
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
        old = sorted(
            p
            for p in path.parent.iterdir()
            if p.name.startswith(f"{path.name}.damaged-") and not p.name.endswith("-wal")
        )
        for one in old[:-KEEP_DAMAGED]:
            one.unlink()
            one.with_name(f"{one.name}-wal").unlink(missing_ok=True)
    return target


def _make_if_missing(path: Path) -> None:
    """An empty file that only its owner may read.

    An existing one is not opened: closing it again would drop the locks that SQLite holds on
    it elsewhere in this process.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_MODE))
