"""Where installed models lie, and which one counts: the part of the store that the kiosk reads.

Nothing here falls back in silence. Where a model was installed and its record or its card is not
as it was written, that is an error, and the kiosk shows a fault; what goes back to the version
before, and says so, is :mod:`edge_app.store.boot`, before the kiosk starts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from edge_app.errors import BundleError, UsageError
from edge_app.store.record import MAX_STARTS, NAME, Entry, Record, parsed

VARIABLE = "MASK_KIOSK_MODELS"
"""Environment variable that names the folder of installed models; empty: there is none."""

DEFAULT = "/var/lib/mask-kiosk-models"
"""Where it is otherwise, so that a command typed by hand sees what the service sees."""

VERSIONS = "versions"
ACTIVE = "active"

SHORT = 12
"""Digits of a version that people read."""


def store_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder of installed models, whether it exists or not; None: there is to be none."""
    named = environment.get(VARIABLE, DEFAULT)
    return Path(named) if named else None


def record_path(store: Path, name: str) -> Path:
    """The file that says which version of a model counts.

    Raises:
        UsageError: No model can have this name; with it the path could lead anywhere.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name[:100]!r} cannot be the name of an installed model")
    return store / ACTIVE / f"{name}.json"


def model_path(store: Path, name: str, version: str) -> Path:
    """The ``.tflite`` of an installed version."""
    return store / VERSIONS / version / f"{name}.tflite"


def remedy(name: str) -> str:
    """What to do about a damaged installed model."""
    return f"run: sudo systemctl restart mask-kiosk, or python -m edge_app models rollback {name}"


def read_record(store: Path, name: str) -> Record:
    """What is known of the installed versions of a model.

    Raises:
        BundleError: The file cannot be read or is damaged.
    """
    path = record_path(store, name)
    try:
        return parsed(path.read_bytes(), name)
    except (FileNotFoundError, NotADirectoryError):
        return Record(name)
    except OSError as error:
        raise BundleError(
            f"{path}: the record of installed models cannot be read: {error.strerror}; "
            f"{remedy(name)}"
        ) from None
    except ValueError as error:
        why = " ".join(str(error).split())
        raise BundleError(
            f"{path}: the record of installed models is damaged ({why}); {remedy(name)}"
        ) from None


def names(store: Path) -> list[str]:
    """The models of which a version was installed at some time."""
    try:
        found = sorted(path.stem for path in (store / ACTIVE).glob("*.json"))
    except OSError:
        return []
    return [name for name in found if NAME.fullmatch(name)]


def active_model(name: str, store: Path | None = None) -> Path | None:
    """The ``.tflite`` of the installed version that counts; None where the shipped one does.

    Args:
        name: The bundle's name.
        store: The folder of installed models; None: the one of this machine.

    Raises:
        BundleError: It counts, but is missing, cannot be read or is not what was installed.
    """
    store = store_folder() if store is None else store
    if store is None or not NAME.fullmatch(name):
        return None
    active = read_record(store, name).active
    if active is None:
        return None
    model = model_path(store, name, active.version)
    card = model.with_suffix(".json")
    try:
        digest = hashlib.sha256(card.read_bytes()).hexdigest()
    except OSError as error:
        raise BundleError(
            f"{card}: the installed model cannot be read: {error.strerror}; {remedy(name)}"
        ) from None
    if digest != active.version:
        raise BundleError(f"{card}: is damaged: its sha256 is another; {remedy(name)}")
    return model


def unconfirmed(store: Path) -> list[Entry]:
    """The versions that count, but that the kiosk was never seen to work with."""
    found = []
    for name in names(store):
        try:
            active = read_record(store, name).active
        except BundleError:
            continue
        if active is not None and not active.confirmed:
            found.append(active)
    return found


def is_on_trial(store: Path) -> bool:
    """Whether the next starts will roll a version back: somebody counts them, and not in vain."""
    return any(1 <= entry.starts <= MAX_STARTS for entry in unconfirmed(store))
