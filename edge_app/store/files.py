"""Writes that survive a power cut: everything is on the disk before it takes its name.

A rename is atomic, but without the two fsyncs a file system may write it before the content
(ext4 may leave an empty file), or not at all for a while.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READABLE, ENTERABLE, OWN = 0o644, 0o755, 0o600
"""Modes, whatever the umask: the kiosk reads as another user; a lock it must not hold."""


def write_file(path: Path, content: bytes) -> None:
    """Make a new file, on the disk when this returns (its name is not, see :func:`sync_folder`)."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, READABLE)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(file, left) :]
        os.fchmod(file, READABLE)
        os.fsync(file)
    finally:
        os.close(file)


def replace_file(path: Path, content: bytes) -> None:
    """Give a file new content at once: after a power cut it has the old or the new one."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    try:
        write_file(new, content)
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder that everybody may read; its name is on the disk then.

    One that is there may come from a command that was killed before it could let others in.
    """
    try:
        path.mkdir()
    except FileExistsError:
        if path.stat().st_mode & ENTERABLE == ENTERABLE:
            return
    path.chmod(ENTERABLE)
    sync_folder(path.parent)


@contextmanager
def open_to_readers() -> Iterator[None]:
    """What is made meanwhile can be read by everybody from its first moment on."""
    before = os.umask(0o777 & ~ENTERABLE)
    try:
        yield
    finally:
        os.umask(before)


def move(old: Path, new: Path) -> None:
    """Give a file or a folder another name, on the disk when this returns."""
    old.rename(new)
    sync_folder(new.parent)
    if old.parent != new.parent:
        sync_folder(old.parent)


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock that its holder's end frees, however that comes about.

    Raises:
        BlockingIOError: Somebody else holds it, and ``wait`` is False.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWN)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(file)
