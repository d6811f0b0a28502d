"""Talking to systemd, without its library."""

from __future__ import annotations

import os
import socket


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
        sock.sendto(message.encode(), address)
