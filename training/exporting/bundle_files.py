"""Puts a bundle's files in place so that a kill at any moment loses nothing.

Several files cannot be renamed in one step. So they are made in a hidden folder, which is renamed
when they are whole and the device's own code has accepted them: from there on the new bundle
counts. A kill before leaves the old bundle; a kill after leaves the ready folder, from which
the next call goes on (:func:`settle`). Between the renames the device refuses the
bundle, because the model's hash is not the one that the card names.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_app.errors import OutputError
from edge_app.recording import why_no_folder
from edge_app.vision.bundle import card_path, load_bundle
from edge_app.vision.selftest import selftest_path

_RANDOM = 8
"""Characters that tempfile appends; with them, no other bundle's folder is taken for ours."""


def write_bundle(
    card: Mapping[str, Any], content: bytes, out: Path, selftest: bytes | None = None
) -> Path:
    """Put model, card and self-test in place, once the device's own code has accepted them.

    Args:
        card: All of the card; its ``name`` names the files.
        content: The ``.tflite`` file.
        out: Folder; made if it is missing.
        selftest: The ``.selftest.npz`` file, whose hash is on the card; None: none, and kiosks
            refuse to install the bundle.

    Returns:
        The ``.tflite`` file.

    Raises:
        BundleError: The device would refuse the bundle.
        OutputError: The bundle cannot be written; an earlier one is as it was.
    """
    name = str(card["name"])
    model = out / f"{name}.tflite"
    settle(out, name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_partial(name), dir=out) as folder:
            made = Path(folder) / "bundle" / model.name
            made.parent.mkdir()
            made.write_bytes(content)
            card_path(made).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
            if selftest is not None:
                selftest_path(made).write_bytes(selftest)
            load_bundle(made, card["task"])
            made.parent.rename(_ready(out, name))
    except OSError as error:
        reason = why_no_folder(out, error)
        raise OutputError(f"{model}: cannot be written: {reason}") from None
    settle(out, name)
    return model


def settle(out: Path, name: str) -> None:
    """Finish what a killed export of this bundle had begun: put it in place, or remove it.

    Raises:
        OutputError: A file cannot be moved or removed.
    """
    ready = _ready(out, name)
    try:
        if ready.is_dir():
            for path in sorted(ready.iterdir()):
                os.replace(path, out / path.name)
            ready.rmdir()
        for left in out.glob(_partial(name) + "?" * _RANDOM):
            shutil.rmtree(left)
    except OSError as error:
        raise OutputError(f"{out}: cannot finish an earlier export: {error}") from None


def _partial(name: str) -> str:
    return f".partial-{name}-"


def _ready(out: Path, name: str) -> Path:
    return out / f".ready-{name}"
