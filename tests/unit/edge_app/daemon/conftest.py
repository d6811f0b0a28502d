"""A stand-in for systemd: the socket on which a service reports, and what it said."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE_S = 20.0
"""How long a test waits for something that must happen; it never does so in vain."""


class Systemd:
    """Listens as systemd does (sd_notify(3)); the real one is tested in deploy/rig."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)

    def received(self) -> list[str]:
        """What came since the last call."""
        new = []
        self._socket.setblocking(False)
        while True:
            try:
                new.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                self.messages += new
                return new

    def wait_for(self, wanted: Callable[[str], bool]) -> list[str]:
        """Block until a message is as wanted; all messages up to that one."""
        end = time.monotonic() + PATIENCE_S
        before: list[str] = []
        while not before or not wanted(before[-1]):
            self._socket.settimeout(max(0.01, end - time.monotonic()))
            before.append(self._socket.recv(4096).decode())
        return before

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(autouse=True)
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests may themselves run in a service of systemd's."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)


@pytest.fixture
def systemd(no_service: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """Makes this process, and those it starts, a service."""
    listener = Systemd(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
    yield listener
    listener.close()
