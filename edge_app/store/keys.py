"""The keys that this kiosk trusts to sign models: ``/etc/mask-kiosk/keys/*.pub``."""

from __future__ import annotations

import os
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
        SignatureError: A ``.pub`` file is no key, cannot be read, is a link, or others than root
            (and whoever runs this, who decides anyway) may change it or the folder.
    """
    keys = {}
    for path in sorted(folder.glob("*.pub")):
        try:
            _refuse_others(folder, folder.stat(), "755")
            content = _content(path)
        except OSError as error:
            reason = (
                "it is a link, put the file itself here" if path.is_symlink() else error.strerror
            )
            raise SignatureError(f"{path}: cannot read the key: {reason}") from None
        key = read_key(content, path)
        keys[key.id] = key
    return keys


def _content(path: Path) -> bytes:
    """Of the very file whose owner and mode were looked at."""
    # Without NONBLOCK a pipe of that name would hold everything up.
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_others(path, os.fstat(file), "644")
        return os.read(file, MAX_BYTES + 1)
    finally:
        os.close(file)


def _refuse_others(path: Path, found: os.stat_result, mode: str) -> None:
    if found.st_uid in (0, os.geteuid()) and not found.st_mode & NOT_FOR_OTHERS:
        return
    what = shlex.quote(str(path))
    raise SignatureError(
        f"{path}: other users may change the keys (owner {found.st_uid}, mode "
        f"{stat.S_IMODE(found.st_mode):04o}); see whose they are, then run: "
        f"sudo chown root: {what} && sudo chmod {mode} {what}"
    )
