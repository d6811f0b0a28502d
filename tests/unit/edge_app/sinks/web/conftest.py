"""A status page that really listens, and visitors with plain sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_app.domain import Box, Face, Frame, MaskState, Observation, Signal, Verdict
from edge_app.settings import Settings
from edge_app.sinks.web import StatusPage

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - of no real kiosk
PATIENCE_S = 20.0
"""How long a test waits for something that must happen; it never does so in vain."""


@dataclass
class Reply:
    """One answer as a client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Visitor:
    """Sends bytes and reads the answer until the server closes."""

    page: StatusPage

    def connect(self) -> socket.socket:
        assert self.page.address is not None
        return socket.create_connection(self.page.address, PATIENCE_S)

    def send(self, content: bytes) -> Reply:
        with self.connect() as sock:
            sock.sendall(content)
            return _read_reply(sock)

    def ask(self, path: str, method: str = "GET", body: str = "", **headers: str) -> Reply:
        lines = [f"{method} {path} HTTP/1.1"]
        named = {"Host": "127.0.0.1", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body:
            named["Content-Length"] = str(len(body))
        lines += [f"{name}: {value}" for name, value in named.items()]
        return self.send(("\r\n".join([*lines, "", ""]) + body).encode())


def _read_reply(sock: socket.socket) -> Reply:
    """The whole answer; the server closes behind it."""
    received = bytearray()
    while piece := sock.recv(65536):
        received += piece
    head, end, body = bytes(received).partition(b"\r\n\r\n")
    assert end, received
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    if "Content-Length" in headers and body:
        assert int(headers["Content-Length"]) == len(body)
    return Reply(int(first.split()[1]), headers, body)


def _wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


@contextmanager
def served(page: StatusPage) -> Iterator[Visitor]:
    thread = threading.Thread(target=page.serve)
    thread.start()
    try:
        _wait_until(lambda: page.address is not None or not thread.is_alive())
        yield Visitor(page)
    finally:
        page.close()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


Serve = Callable[..., Visitor]


@pytest.fixture
def web_settings() -> Settings:
    """Enabled, on any free port."""
    settings = Settings()
    return replace(settings, web=replace(settings.web, enabled=True, port=0))


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def serve(web_settings: Settings) -> Iterator[Serve]:
    """Starts a page: ``serve(token_file="...", recent_events=..., limits=...)``."""
    open_pages = []

    def start(**options: Any) -> Visitor:
        page_options = {
            name: options.pop(name)
            for name in ("recent_events", "exposition", "limits", "clock")
            if name in options
        }
        settings = replace(web_settings, web=replace(web_settings.web, **options))
        context = served(StatusPage(settings, **page_options))
        open_pages.append(context)
        return context.__enter__()

    yield start
    for context in open_pages:
        context.__exit__(None, None, None)


class Says:
    """Shorthand for what a kiosk says."""

    @staticmethod
    def observed(
        signal: Signal = Signal.IDLE,
        reason: str = "nobody in view",
        faces: tuple[Face, ...] = (),
        **timings: float,
    ) -> Observation:
        return Observation(0, 0.0, signal, reason, faces, timings=timings)

    @staticmethod
    def face(size: float = 60.0, state: MaskState | None = MaskState.WITHOUT_MASK) -> Face:
        best = state or MaskState.WITH_MASK
        rest = {other: 0.05 for other in MaskState if other is not best}
        return Face(Box(20, 30, 20 + size, 30 + size), 0.9, Verdict({best: 0.9, **rest}, state))

    @staticmethod
    def frame(width: int = 160, height: int = 120, value: int = 90) -> Frame:
        return Frame(np.full((height, width, 3), value, np.uint8), 0.0, 0)


@pytest.fixture(scope="session")
def says() -> type[Says]:
    return Says


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def token() -> str:
    return TOKEN


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], bool]], None]:
    return _wait_until


@pytest.fixture(scope="session")
def read_reply() -> Callable[[socket.socket], Reply]:
    return _read_reply
