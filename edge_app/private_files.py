"""Files that others must not open: settings, and what holds a password or a token."""

from __future__ import annotations

import grp
import os
import shlex
import stat
from pathlib import Path

from edge_app.errors import SettingsError

MAX_BYTES = 4096
"""Longer than any password or token; a larger file is the wrong one."""

NOT_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Permission bits that a secret's file must not have."""

NOT_FOR_SETTINGS = stat.S_IWGRP | stat.S_IRWXO
"""Those that a settings file must not have: the service reads root's file as its group."""

GROUP = "mask-kiosk"
"""The group of the service's user, see ``systemd/sysusers.d``."""


def require_private(path: Path, what: str) -> None:
    """Refuse a file that other users can read, or that its group can write.

    Args:
        path: The file. Its group may read it: the service does, of a file that is root's.
        what: What it is, for messages: ``settings file``.

    Raises:
        SettingsError: It is open to others, or cannot be looked at.
    """
    try:
        status = path.stat()
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise SettingsError(f"{path}: cannot read the {what}: {why}") from None
    mode = stat.S_IMODE(status.st_mode)
    if mode & NOT_FOR_SETTINGS:
        do = "change" if mode & (stat.S_IWGRP | stat.S_IWOTH) else "read"
        raise SettingsError(
            f"{path}: other users may {do} this {what} (mode {mode:04o}), which may hold "
            f"passwords; run: {_closing(path, status)}"
        )


def _closing(path: Path, status: os.stat_result) -> str:
    """The command that closes a settings file to others but leaves it readable to the kiosk."""
    name, user = shlex.quote(str(path)), os.geteuid()
    if status.st_uid == user != 0:
        return f"chmod 600 {name}"
    sudo = "" if user == 0 else "sudo "
    try:
        group = grp.getgrnam(GROUP)
    except KeyError:  # the service is not installed here
        return f"{sudo}chmod 640 {name}"
    if status.st_gid == group.gr_gid:
        return f"{sudo}chmod 640 {name}"
    return f"{sudo}chgrp {GROUP} {name} && {sudo}chmod 640 {name}"


def read_secret(path: str | Path, key: str) -> str:
    """The one line that a private file holds, without its line end.

    Args:
        path: The file; it must be closed to the group and to everybody else.
        key: The setting that names it, for messages: ``mqtt.password_file``.

    Raises:
        SettingsError: The file is missing, cannot be read, is open to other users, is empty
            or does not hold exactly one line of UTF-8 text. The message never holds the secret.
    """
    where = f"{key} = {path}"
    close_it = f"chmod 600 {shlex.quote(str(path))}"
    try:
        # Without O_NONBLOCK a pipe in the file's place would hang the start.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise SettingsError(f"{where}: this is not a file")
            mode = stat.S_IMODE(status.st_mode)
            if mode & NOT_FOR_OTHERS:
                raise SettingsError(
                    f"{where}: other users may open this secret (mode {mode:04o}); run: {close_it}"
                )
            content = os.read(file, MAX_BYTES + 1)
        finally:
            os.close(file)
    except FileNotFoundError:
        raise SettingsError(
            f"{where}: there is no such file; write the secret into it, then run: {close_it}"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{where}: cannot be read: {error.strerror}; it must belong to the user that runs "
            f"the kiosk, then run: {close_it}"
        ) from None
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{where}: longer than {MAX_BYTES} bytes; this is no secret")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise SettingsError(f"{where}: not UTF-8 text") from None
    if not any(line.strip() for line in lines):
        raise SettingsError(
            f"{where}: the file is empty; write the secret into it, then run: {close_it}"
        )
    if len(lines) != 1:
        raise SettingsError(f"{where}: must hold one line, not {len(lines)}")
    return lines[0]
