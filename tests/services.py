"""``edge_app run`` as a service: the process, and a stand-in for the systemd that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge_app.domain import MaskState

PATIENCE_S = 60.0
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


class Service:
    """``edge_app run`` as systemd starts it, with a settings file that the test writes.

    Attributes:
        before: A command that starts ours, e.g. one that puts it into a control group.
        program: What Python runs.
        environment: More variables.
        lines: What it wrote to its log.
    """

    def __init__(self, root: Path, folder: Path, models: Path) -> None:
        self.before: Sequence[str] = ()
        self.program: Sequence[str] = ("-m", "edge_app")
        self.environment: dict[str, str] = {}
        self.root = root
        self.file = folder / "kiosk.toml"
        self.models = models
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def write(self, source: Path, detector: str = "tiny_detector", more: str = "") -> None:
        self.file.write_text(
            f'[source]\nuri = "{source}"\n[indicator]\npins = "mock"\nself_test = false\n'
            f'[detector]\nbundle = "{self.models / detector}"\n'
            f'[classifier]\nbundle = "{self.models / "tiny_classifier"}"\n{more}'
        )
        self.file.chmod(0o600)

    def start(self) -> None:
        command = [sys.executable, *self.program, "run", "--settings", str(self.file)]
        self.process = process = subprocess.Popen(
            [*self.before, *command],
            cwd=self.root,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environment},
        )

        def read() -> None:
            with process.stderr as lines:
                self.lines.extend(lines)

        self._reader = threading.Thread(target=read)
        self._reader.start()

    def wait(self) -> int:
        """Wait for the end by itself; the exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.wait()


def ready(message: str) -> bool:
    return message == "READY=1"


def pinged(message: str) -> bool:
    return message == "WATCHDOG=1"


@pytest.fixture(autouse=True)
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may themselves run in a service of systemd's."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)


@pytest.fixture
def systemd(no_service: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """Makes this process, and those it starts, a service."""
    listener = Systemd(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
    yield listener
    listener.close()


@pytest.fixture
def service(root: Path, tmp_path: Path, tiny: Path) -> Iterator[Service]:
    made = Service(root, tmp_path, tiny)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGKILL)


@pytest.fixture
def clip(tmp_path: Path, paint: Any) -> Callable[[int], Path]:
    """Writes a clip of a bare face, 20 frames per second, without loss."""

    def write(frames: int) -> Path:
        path = tmp_path / "clip.avi"
        picture = cv2.cvtColor(paint({(7, 5): MaskState.WITHOUT_MASK}), cv2.COLOR_RGB2BGR)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 20.0, (128, 96))
        assert writer.isOpened()
        for _ in range(frames):
            writer.write(picture)
        writer.release()
        return path

    return write
