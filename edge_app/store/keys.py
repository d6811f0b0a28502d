"""The keys that this kiosk trusts to sign models: ``/etc/mask-kiosk/keys/*.pub``."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

from edge_app.errors import SignatureError
from edge_app.store.minisign import MAX_BYTES, PublicKey, read_key

FOLDER = Path("/etc/mask-kiosk/keys")
"""Root's: whoever may write here decides which models judge."""

NOT_FOR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def trusted_keys(folder: Path) -> dict[str, PublicKey]:
    """The keys in a folder, by id; none where there is no folder.

    Raises:
        SignatureError: A ``.pub`` file is no key, cannot be read, or others may change it.
    """
    keys = {}
    for path in sorted(folder.glob("*.pub")):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & NOT_FOR_OTHERS:
                raise SignatureError(
                    f"{path}: other users may change this key (mode {mode:04o}); "
                    f"run: sudo chmod 644 {shlex.quote(str(path))}"
                )
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SignatureError(f"{path}: cannot read the key: {error.strerror}") from None
        key = read_key(content, path)
        keys[key.id] = key
    return keys
