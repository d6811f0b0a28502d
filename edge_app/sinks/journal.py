"""The event journal: what the light showed, when and how long; never a picture.

One row per stretch of one signal, and one per part in trouble. A row is written when its
stretch begins, its end is refreshed every :data:`REFRESH_S` seconds and written when it
ends, so that a crash loses at most that much of the last duration. The file itself is
:mod:`edge_app.sinks.journal_file`; :mod:`edge_app.sinks.journal_reader` reads it.

Durations come from the observations' own clock, which only moves forward. The wall clock
says when a stretch began and nothing else: when it jumps, no duration is wrong.
"""

from __future__ import annotations

import datetime
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from edge_app.backoff import Backoff
from edge_app.domain import Frame, Observation, Signal, Vitals
from edge_app.errors import JournalError, SettingsError
from edge_app.settings import JournalSettings
from edge_app.sinks.journal_file import PRUNE_ROWS, JournalFile, move_aside
from edge_app.sinks.journal_schema import DamagedJournalError
from edge_app.sinks.journal_stretch import Stretch, Wall, local_now
from edge_app.systemd import state_directory

log = logging.getLogger(__name__)

FILE_NAME = "events.sqlite3"

REFRESH_S = 60.0
"""How often the end of what is still going on is written: what a crash may cut off. Once a
minute is 12 MB a day of writing (measured), nothing to an SD card."""

PRUNE_S = 600.0
"""How often old rows are looked for."""

KEPT_ROWS = 5000
"""Ended stretches that wait in memory, 2.3 MB, while the file cannot be written: about a
busy day's. After that the oldest are lost."""

BATCH_ROWS = 500
"""Of many kept rows so many are written at once: on a full disk a failed attempt costs little."""

BYTES_PER_MB = 1_000_000


def journal_path(settings: JournalSettings) -> Path | None:
    """Where the journal lies: as set, else in systemd's state folder, else nowhere."""
    if settings.path:
        return Path(settings.path)
    folder = state_directory()
    return folder / FILE_NAME if folder else None


def open_journal(settings: JournalSettings) -> Journal:
    """The journal that the settings name.

    Raises:
        SettingsError: They name none, or what they name can never be one.
    """
    path = journal_path(settings)
    if path is None:
        raise SettingsError("journal.path is empty, and there is no $STATE_DIRECTORY")
    return Journal(path, settings)


class Journal:
    """Writes what the light showed to a file; a :class:`edge_app.sinks.Sink`.

    While the file cannot be written every call raises, and yet takes in what it is given:
    up to :data:`KEPT_ROWS` ended stretches are kept and written as soon as it works again.
    A damaged file is moved aside, with a line in the log, and a new one begun.

    Args:
        path: The SQLite file; its folder is made when it is missing.
        settings: How much to keep.
        wall: The wall clock.

    Raises:
        SettingsError: ``path`` can never be a journal: a folder, another program's file.
    """

    name = "journal"

    def __init__(self, path: Path, settings: JournalSettings, wall: Wall = local_now) -> None:
        _check_path(path)
        self._path = path
        self._settings = settings
        self._wall = wall
        self._file: JournalFile | None = None
        self._fresh = True
        self._closed = False
        self._now = float("-inf")
        self._signal: tuple[Signal, Stretch] | None = None
        self._troubles: dict[str, Stretch] = {}
        self._ended: deque[Stretch] = deque()
        self._order = 0
        self._lost = 0
        self._fault: str | None = None
        self._backoff = Backoff()
        self._retry_at = float("-inf")
        self._saved_at = float("-inf")
        self._pruned_at: float | None = None
        try:
            self._file = JournalFile(path)
        except JournalError as error:  # the first call tries again, and says so
            log.debug("%s", error)

    def handle(self, observation: Observation, frame: Frame | None) -> None:
        """Take in what the light shows; the picture is not looked at.

        Raises:
            JournalError: The file cannot be written now; the observation is kept.
        """
        del frame
        self._advance(observation.time)
        changed = self._signal is None or self._signal[0] is not observation.signal
        if changed:
            if self._signal is not None:
                self._end(self._signal[1])
            stretch = self._begin("signal", observation.signal, observation.reason)
            self._signal = (observation.signal, stretch)
        if self._signal is not None:
            self._signal[1].note(observation)
        self._save(changed)

    def report(self, vitals: Vitals) -> None:
        """Take in which parts are in trouble; refresh and tidy up when it is time.

        Raises:
            JournalError: The file cannot be written now; what was reported is kept.
        """
        self._advance(vitals.time)
        gone = [part for part in self._troubles if part not in vitals.troubles]
        come = [part for part in vitals.troubles if part not in self._troubles]
        for part in gone:
            self._end(self._troubles.pop(part))
        for part in come:
            self._troubles[part] = self._begin("trouble", part, vitals.troubles[part])
        self._save(bool(gone or come))

    def close(self) -> None:
        """End what is going on and write it, if possible; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for stretch in self._open():
            self._end(stretch)
        self._signal, self._troubles = None, {}
        if not self._ended:
            self._leave_file()
            return
        try:
            self._rescued(self._write)
        except JournalError as error:
            lost = self._lost + len(self._ended)
            log.error("%s; %d events are lost", error, lost)
        finally:
            self._leave_file()

    # What goes on

    def _advance(self, time: float) -> None:
        """Let time pass; a picture taken before the last report does not turn it back."""
        self._now = max(self._now, time)
        for stretch in self._open():
            stretch.reach(self._now)

    def _begin(self, kind: str, name: str, reason: str) -> Stretch:
        self._order += 1
        return Stretch(kind, name, reason, self._now, self._order, self._wall)

    def _end(self, stretch: Stretch) -> None:
        stretch.row.state = "ended"
        self._ended.append(stretch)
        if len(self._ended) > KEPT_ROWS:
            # One that the file holds already, unended, would stay open there for ever.
            self._ended.remove(next(kept for kept in self._ended if not kept.stored))
            self._lost += 1

    def _open(self) -> list[Stretch]:
        return [*([self._signal[1]] if self._signal else []), *self._troubles.values()]

    # Writing

    def _save(self, changed: bool) -> None:
        """Write if something changed or it is time for a refresh; raise while that fails."""
        if self._fault is not None and self._now < self._retry_at:
            raise JournalError(self._fault)
        due = self._fault is not None or self._now - self._saved_at >= REFRESH_S
        if not changed and not due:
            return
        try:
            if due and self._file is not None and not self._file.in_place():
                log.warning("%s: was removed or replaced; a new journal begins", self._path)
                self._leave_file()
            self._rescued(self._write_and_prune)
        except JournalError as error:
            self._leave_file()
            self._fault, self._retry_at = str(error), self._now + self._backoff.failed()
            raise
        self._saved_at = self._now
        self._say_that_it_works()

    def _rescued(self, work: Callable[[], None]) -> None:
        """Do the work; if the file turns out to be damaged, once more with a new one."""
        try:
            work()
        except DamagedJournalError as error:
            self._leave_file()
            aside = move_aside(self._path, f"{self._wall():%Y%m%d-%H%M%S}")
            log.error("%s; it is now %s, and a new journal begins", error, aside.name)
            work()

    def _write_and_prune(self) -> None:
        self._write()
        self._prune()

    def _write(self) -> None:
        if self._file is None:
            self._file = JournalFile(self._path)
        if self._fresh:
            self._file.check()
            cut = self._file.cut_open()
            self._fresh = False
            if cut:
                log.warning("%s: the last run ended without saying so", self._path)
        stretches = sorted([*self._ended, *self._open()], key=lambda s: s.order)
        for begin in range(0, len(stretches), BATCH_ROWS):
            batch = stretches[begin : begin + BATCH_ROWS]
            self._file.write(stretch.row for stretch in batch)
            for stretch in batch:
                stretch.stored = True
            done = set(batch)
            self._ended = deque(stretch for stretch in self._ended if stretch not in done)

    def _prune(self) -> None:
        if self._pruned_at is None:
            self._pruned_at = self._now
        if self._file is None or self._now - self._pruned_at < PRUNE_S:
            return
        oldest = self._wall().date().toordinal() - self._settings.keep_days
        first_day = datetime.date.fromordinal(max(1, oldest)).isoformat()
        deleted = self._file.prune(first_day, self._settings.max_mb * BYTES_PER_MB)
        if deleted:
            log.info("%s: deleted %d old events", self._path, deleted)
        if deleted < PRUNE_ROWS:  # else go on at the next refresh
            self._pruned_at = self._now

    def _say_that_it_works(self) -> None:
        self._backoff.worked()
        if self._fault is not None:
            log.warning("%s: written again; %d events were lost", self._path, self._lost)
            self._fault, self._lost = None, 0

    def _leave_file(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except JournalError as error:
            log.warning("%s", error)


def _check_path(path: Path) -> None:
    where = f"journal.path = {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise SettingsError(f"{where}: is a folder; name a file, say {path / FILE_NAME}")
        if path.exists() and not path.is_file():
            raise SettingsError(f"{where}: is no ordinary file; name another one")
    except OSError as error:
        why = error.strerror or str(error)
        raise SettingsError(f"{where}: its folder cannot be made or entered: {why}") from None
