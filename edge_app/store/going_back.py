"""Back to the version before: by hand, after a failed update, or because the store is damaged."""

from __future__ import annotations

import datetime
import hashlib
import logging
from pathlib import Path

from edge_app.errors import KioskError, ModelStoreError
from edge_app.store.changes import change
from edge_app.store.layout import SHORT, model_path
from edge_app.store.record import Record, Undone
from edge_app.vision import bundle
from edge_app.vision.bundle import read_card

log = logging.getLogger(__name__)


def now() -> str:
    """The time as it stands in records."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def damage(store: Path, name: str, version: str) -> str | None:
    """Why an installed version cannot be used by this application; None if it is whole."""
    model = model_path(store, name, version)
    try:
        card = read_card(model)
        content = model.read_bytes()
    except KioskError as error:
        return str(error)
    except OSError as error:
        return f"{model}: {error.strerror or type(error).__name__}"
    if card.version != version:
        return f"{model.with_suffix('.json')}: is damaged: its sha256 is another"
    if hashlib.sha256(content).hexdigest() != card.sha256:
        return f"{model}: is damaged: its sha256 is not the one on its card"
    return None


def is_shipped(name: str) -> bool:
    """Whether a model of this name comes with the application."""
    return (bundle.MODELS_DIR / f"{name}.tflite").is_file()


def go_back(store: Path, name: str, version: str, why: str | None = None) -> Record:
    """Let a version give way to the nearest one before it that is whole, at last the shipped one.

    Args:
        store: The folder of installed models.
        name: The model.
        version: Nothing happens unless this one counts.
        why: It was not asked for; None: it was.

    Returns:
        The record that counts now.

    Raises:
        ModelStoreError: There is nothing to go back to, or the store cannot be written.
    """
    undone = None if why is None else Undone(version, now(), " ".join(why.split()))

    def made(record: Record) -> Record | None:
        if record.active is None or record.active.version != version:
            return None
        after = record.rolled_back(undone)
        while after.active is not None and (bad := damage(store, name, after.active.version)):
            log.error("%s; it is passed over", bad)
            after = after.rolled_back(undone)
        if after.active is None and not is_shipped(name):
            raise ModelStoreError(
                f"{store}: there is no other {name} to go back to than {version[:SHORT]}; "
                "install one: python -m edge_app models install BUNDLE"
            )
        return after

    return change(store, name, made)


def named(record: Record) -> str:
    """The version that counts, for people."""
    return "the shipped one" if record.active is None else record.active.version[:SHORT]
