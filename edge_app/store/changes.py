"""Changes of the store. Each one is whole or not at all, also when the power fails in it."""

from __future__ import annotations

import errno
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edge_app.errors import BundleError, ModelStoreBusyError, ModelStoreError
from edge_app.store.files import (
    locked,
    make_folder,
    move,
    open_to_readers,
    replace_file,
    sync_folder,
    write_file,
)
from edge_app.store.layout import ACTIVE, VERSIONS, names, read_record, record_path
from edge_app.store.record import Record, written

log = logging.getLogger(__name__)

COMMAND_LOCK, RECORD_LOCK = "lock", "record.lock"
"""The first is held by a command from its begin to its end, the second only while a record
changes: the kiosk's own starts, while a command waits for them, change records too."""

UNFINISHED = ".new-"
"""Begins the name of a version's folder that is not whole, or no longer."""

NOT_ALLOWED = (errno.EACCES, errno.EPERM)


@contextmanager
def writing(store: Path) -> Iterator[None]:
    """Say in one line what went wrong with the disk.

    Raises:
        ModelStoreError: Something did.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, ModelStoreError | ModelStoreBusyError | BundleError):
            raise
        reason = error.strerror or type(error).__name__
        if error.errno in NOT_ALLOWED:
            reason += "; run this command as root (sudo)"
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason += "; free some megabytes and try again"
        raise ModelStoreError(
            f"{store}: the models stay as they were, cannot write: {reason}"
        ) from None


@contextmanager
def exclusively(store: Path) -> Iterator[None]:
    """Make the store's folders, and keep other commands out.

    Raises:
        ModelStoreBusyError: Another command is at work.
        ModelStoreError: The store cannot be written.
    """
    with writing(store):
        with open_to_readers():
            for folder in (store, store / VERSIONS, store / ACTIVE):
                make_folder(folder)
        lock = locked(store / COMMAND_LOCK, wait=False)
        try:
            lock.__enter__()
        except BlockingIOError:
            raise ModelStoreBusyError(
                f"{store}: another command installs or rolls back a model; try again when it ended"
            ) from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def change(store: Path, name: str, made: Callable[[Record], Record | None]) -> Record:
    """Change a model's record, which others may do at the same time.

    A damaged record is moved aside and named in the log: the shipped model counts then.

    Args:
        store: The folder of installed models.
        name: The model's name.
        made: Makes the new record of the present one; None: leave it.

    Returns:
        The record that counts afterwards.

    Raises:
        ModelStoreError: The store cannot be written.
    """
    with writing(store), locked(store / RECORD_LOCK, wait=True):
        path = record_path(store, name)
        try:
            before = read_record(store, name)
        except BundleError as error:
            log.error("%s; it was moved aside, the shipped model counts", error)
            move(path, path.with_name(f"{path.name}.damaged"))
            before = Record(name)
        after = made(before)
        if after is None or after == before:
            return before
        replace_file(path, written(after))
        return after


@contextmanager
def staged(store: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """A new folder in the store with these files, on the disk; gone afterwards unless moved.

    Raises:
        ModelStoreError: The store cannot be written.
    """
    with writing(store):
        folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=store / VERSIONS))
    try:
        with writing(store):
            folder.chmod(0o755)
            for name, content in files.items():
                write_file(folder / name, content)
            sync_folder(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep(store: Path, folder: Path, version: str, *, is_whole: bool) -> None:
    """Make a staged folder the one of its version; a damaged one gives way.

    Args:
        store: The folder of installed models.
        folder: The staged one.
        version: What is in it.
        is_whole: The version is there, and stays as it is: the kiosk may be using it, and to
            replace a folder takes two steps.

    Raises:
        ModelStoreError: The store cannot be written.
    """
    with writing(store):
        if is_whole:
            sync_folder(store / VERSIONS)  # it may come from a command that was killed
            return
        place = store / VERSIONS / version
        if place.exists():
            aside = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=store / VERSIONS))
            move(place, aside / version)
        move(folder, place)


def prune(store: Path) -> None:
    """Remove the files of versions that no record names, and what killed commands left.

    Raises:
        ModelStoreError: The store cannot be written.
    """
    try:
        named = {e.version for name in names(store) for e in read_record(store, name).history}
    except BundleError:  # what a damaged record names is not known: remove nothing
        return
    with writing(store):
        for path in (store / VERSIONS).iterdir():
            if path.name not in named:
                shutil.rmtree(path, ignore_errors=True)
