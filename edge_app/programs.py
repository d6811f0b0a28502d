"""Asking the system's own programs."""

from __future__ import annotations

import shutil
import subprocess  # fixed commands, no shell # nosec B404

TIMEOUT_S = 5.0
"""systemd and the firmware answer within milliseconds; longer means that they are not going to."""


def output_of(name: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> str | None:
    """What a program prints; None when it is not there, fails, or does not answer in time."""
    program = shutil.which(name)
    if program is None:
        return None
    try:
        done = subprocess.run(  # fixed commands, no shell # nosec B603
            [program, *arguments], capture_output=True, text=True, timeout=timeout_s, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
