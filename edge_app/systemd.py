"""Talking to systemd, without its library."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path

MICROSECONDS = 1_000_000


def is_service() -> bool:
    """Whether systemd started this process and wants to hear from it."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def sd_notify(message: str) -> None:
    """Tell systemd something; does nothing when the process is no service of its.

    Args:
        message: E.g. ``READY=1``; see sd_notify(3).

    Raises:
        OSError: The socket that systemd named does not take the message.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)  # the light does not wait for a systemd that is busy
        sock.sendto(message.encode(), address)


class Notifier:
    """Tells systemd, and says once when that does not work.

    Args:
        log: Gets that line.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._works = True

    def tell(self, message: str) -> None:
        """Send a message, see :func:`sd_notify`."""
        try:
            sd_notify(message)
        except OSError as error:
            if self._works:
                self._log.warning("systemd cannot be told: %s", error)
            self._works = False

    def more_time(self, seconds: float) -> None:
        """Ask not to be killed for so many seconds, while starting or stopping."""
        self.tell(f"EXTEND_TIMEOUT_USEC={int(seconds * MICROSECONDS)}")


def state_directory(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder that systemd made for what a service keeps; None when there is none.

    Args:
        environment: Where ``STATE_DIRECTORY`` stands; of several folders the first counts.
    """
    first = environment.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(first) if first else None
