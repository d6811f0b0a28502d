"""Pictures of violations, for owners who have turned them on: one per new violation.

Nobody but the violator can be recognised (:mod:`edge_app.sinks.pixelate`). Files are JPEG
without metadata, readable by their owner alone, and are deleted by age and total size.
"""

from __future__ import annotations

import datetime
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from edge_app.backoff import Backoff
from edge_app.domain import (
    SIGNAL_OF_STATE,
    Face,
    Frame,
    Image,
    MaskState,
    Observation,
    Track,
    Vitals,
)
from edge_app.errors import SettingsError, SnapshotError
from edge_app.settings import SnapshotSettings
from edge_app.sinks.pixelate import show_only
from edge_app.systemd import state_directory

FOLDER_NAME = "snapshots"

VIOLATIONS = (MaskState.WITHOUT_MASK, MaskState.INCORRECT_MASK)

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600

JPEG_QUALITY = 85

EXPIRE_S = 3600.0
"""How often old pictures are looked for when no new one comes."""

BYTES_PER_MB = 1_000_000

PARTIAL_NAME = ".picture.partial"

_STAMP = "%Y%m%dT%H%M%S"
_NAME = re.compile(r"(\d{8}T\d{6})\.\d{3}Z-[A-Z_]+-\d+\.jpg", re.ASCII)

Wall = Callable[[], datetime.datetime]
"""The wall clock, with its offset from UTC."""


def utc_now() -> datetime.datetime:
    """The wall clock in UTC."""
    return datetime.datetime.now(datetime.UTC)


class Snapshots:
    """Keeps one picture per new violation; a :class:`edge_app.sinks.Sink`.

    A violation is new when a track is first seen in a state of :data:`VIOLATIONS`. If its
    face is not in the frame, or the picture cannot be stored, a later frame is taken.

    Args:
        folder: Where; made, for its owner alone, when it is missing.
        settings: How much to keep.
        wall: The wall clock.

    Raises:
        SettingsError: The folder cannot be made, or others may look into it.
    """

    name = "snapshots"

    def __init__(self, folder: Path, settings: SnapshotSettings, wall: Wall = utc_now) -> None:
        _check_folder(folder)
        self._folder = folder
        self._settings = settings
        self._wall = wall
        self._taken: set[tuple[int, MaskState]] = set()
        self._expired_at = float("-inf")
        self._fault: str | None = None
        self._largest = 0
        self._backoff = Backoff()
        self._retry_at = float("-inf")

    def handle(self, observation: Observation, frame: Frame | None) -> None:
        """Keep a picture of each new violation in this frame.

        Raises:
            SnapshotError: The disk is full, or something like it; nothing half is left.
        """
        present = {track.id for track in observation.tracks}
        self._taken = {taken for taken in self._taken if taken[0] in present}
        if frame is None:
            return
        for track, face in _violations(observation):
            state = track.state
            if state is None or (track.id, state) in self._taken:
                continue
            self._ready(observation.time)
            others = [other.box for other in observation.faces if other is not face]
            others += [t.box for t in observation.tracks if t is not track and t.unseen > 0]
            content = _jpeg(show_only(frame.image, face.box, others))
            self._largest = max(self._largest, len(content))
            name = f"{self._stamp()}-{SIGNAL_OF_STATE[state]}-{track.id}.jpg"
            with self._told(observation.time):
                self._write(name, content)
                self._taken.add((track.id, state))
                self._expire()

    def report(self, vitals: Vitals) -> None:
        """Delete old pictures when it is time; after trouble see whether it is over.

        Raises:
            SnapshotError: Pictures can still not be stored or deleted.
        """
        if self._fault is None and vitals.time - self._expired_at < EXPIRE_S:
            return
        self._ready(vitals.time)
        with self._told(vitals.time):
            if self._fault is not None:
                self._write(None, bytes(self._largest))
            self._expire()
        self._expired_at = vitals.time

    def close(self) -> None:
        """Nothing is open between two pictures."""

    def _ready(self, now: float) -> None:
        """In trouble nothing is tried before it is time."""
        if self._fault is not None and now < self._retry_at:
            raise SnapshotError(self._fault)

    def _stamp(self) -> str:
        now = self._wall().astimezone(datetime.UTC)
        return f"{now:{_STAMP}}.{now.microsecond // 1000:03d}Z"

    def _write(self, name: str | None, content: bytes) -> None:
        """Write a picture, whole or not at all; without a name only try whether it could be."""
        partial = self._folder / PARTIAL_NAME
        partial.unlink(missing_ok=True)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(partial, flags, PRIVATE_FILE), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if name is not None:
                partial.replace(self._folder / name)
        finally:
            partial.unlink(missing_ok=True)

    def _expire(self) -> None:
        """Delete pictures that are too old or too many, and a half one that a crash left."""
        (self._folder / PARTIAL_NAME).unlink(missing_ok=True)
        oldest = self._wall() - datetime.timedelta(days=self._settings.keep_days)
        limit = self._settings.max_mb * BYTES_PER_MB
        total = 0
        for file in sorted(self._folder.iterdir(), reverse=True):
            if not (found := _NAME.fullmatch(file.name)):
                continue  # not ours
            total += file.lstat().st_size
            if total > limit or _time_of(found[1]) < oldest:
                file.unlink(missing_ok=True)

    @contextmanager
    def _told(self, now: float) -> Iterator[None]:
        """Remember trouble, and that it is over."""
        try:
            yield
        except OSError as error:
            why = error.strerror or str(error)
            self._fault = f"{self._folder}: pictures cannot be stored or deleted: {why}"
            self._retry_at = now + self._backoff.failed()
            raise SnapshotError(self._fault) from None
        self._fault = None
        self._backoff.worked()


def snapshots_folder(settings: SnapshotSettings) -> Path:
    """Where pictures lie: as set, else in systemd's state folder.

    Raises:
        SettingsError: There is neither.
    """
    if settings.folder:
        return Path(settings.folder)
    folder = state_directory()
    if folder is None:
        raise SettingsError(
            "snapshots.folder is empty, and there is no $STATE_DIRECTORY; name a folder, or set "
            "snapshots.enabled = false"
        )
    return folder / FOLDER_NAME


def _violations(observation: Observation) -> Iterator[tuple[Track, Face]]:
    """Tracks in violation, each with its face in this frame."""
    for track in observation.tracks:
        if track.state in VIOLATIONS and track.unseen == 0:
            for face in observation.faces:
                if face.box == track.box:
                    yield track, face
                    break


def _jpeg(image: Image) -> bytes:
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise SnapshotError(f"OpenCV cannot encode a picture of {image.shape[1]}x{image.shape[0]}")
    return data.tobytes()


def _time_of(stamp: str) -> datetime.datetime:
    try:
        return datetime.datetime.strptime(stamp, _STAMP).replace(tzinfo=datetime.UTC)
    except ValueError:  # digits that are no date: not a name that we gave
        return datetime.datetime.max.replace(tzinfo=datetime.UTC)


def _check_folder(folder: Path) -> None:
    where = f"snapshots.folder = {folder}"
    try:
        folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise SettingsError(
            f"{where}: this folder cannot be made: {error.strerror or error}"
        ) from None
    if mode & 0o077:
        raise SettingsError(
            f"{where}: others may look into this folder (mode {mode:o}); run: chmod 700 {folder}"
        )
