"""A real Mosquitto, a subscriber, and kiosks' MQTT sinks that the tests drive."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge_app.domain import Observation, Signal, Vitals
from edge_app.errors import BrokerError
from edge_app.settings import Settings, replace_settings
from edge_app.sinks.mqtt import Mqtt

PATIENCE_S = 60.0
"""How long a test waits for something that must happen; it never does so in vain."""

READER = ("reader", "reads")


def until(condition: Callable[[], object]) -> None:
    """Block until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


class Mosquitto:
    """A broker on a free port; it may be killed, halted and started again."""

    def __init__(self, program: str, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.extra: list[str] = []
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, *lines: str) -> None:
        """Further lines of its configuration, from the next start on."""
        self.extra = list(lines)

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        anonymous = [] if any("password_file" in line for line in self.extra) else ["true"]
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"user {getpass.getuser()}",
            # Nothing is left out on the way to the subscriber either.
            "max_queued_messages 100000",
            "max_inflight_messages 1000",
            *(f"allow_anonymous {word}" for word in anonymous),
            *self.extra,
        ]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(config)], stdout=log, stderr=log
            )
        until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "mosquitto.log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S).close()
        except ConnectionRefusedError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def let_in(self, *users: tuple[str, str]) -> None:
        """From the next start, or reload, only these (name, password)."""
        path = self.folder / "passwords"
        path.write_bytes(b"")
        for name, password in users:
            subprocess.run(
                ["mosquitto_passwd", "-b", str(path), name, password],
                check=True,
                capture_output=True,
            )

    @property
    def passwords(self) -> str:
        """The configuration lines for :meth:`let_in`."""
        return f"allow_anonymous false\npassword_file {self.folder / 'passwords'}"


class Reader:
    """A subscriber that remembers everything in order, and comes back quickly."""

    def __init__(self, port: int, user: tuple[str, str] | None, qos: int) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._client = client = Client(CallbackAPIVersion.VERSION2)
        client.reconnect_delay_set(0.05, 0.05)
        if user is not None:
            client.username_pw_set(*user)
        # None of these refers to the client: it must go at once when the test is over, because
        # the garbage collector warns of sockets that it finds open.
        messages, sessions = self.messages, []
        client.on_connect = lambda client, *_: client.subscribe("#", qos)
        client.on_subscribe = lambda *_: sessions.append(None)
        client.on_message = lambda _c, _d, m: messages.append((m.topic, m.payload, m.retain))
        self._sessions = sessions
        client.connect_async("127.0.0.1", port)
        client.loop_start()

    @property
    def sessions(self) -> int:
        """How often it was subscribed."""
        return len(self._sessions)

    def payloads(self, topic: str) -> list[bytes]:
        """Everything that came on a topic, from the oldest on."""
        return [payload for name, payload, _ in self.messages if name == topic]

    def newest(self, topic: str) -> bytes | None:
        return (self.payloads(topic) or [None])[-1]

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Send a message, and wait until the broker has it."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Driven(Mqtt):
    """A sink with what the daemon does at hand; its clock moves when the test says so."""

    count = 0
    vitals = Vitals(0.0)

    def see(self, signal: Signal, reason: str = "as seen") -> None:
        """Take in one observation."""
        self.count += 1
        self.handle(Observation(self.count, float(self.count), signal, reason), None)

    def beat(self, after: float = 0.0, **vitals: Any) -> None:
        """Take in vitals, so many seconds after the last; what is not named stays."""
        self.vitals = replace(self.vitals, time=self.vitals.time + after, **vitals)
        with suppress(BrokerError):  # told by ``trouble``
            self.report(self.vitals)

    def until(self, condition: Callable[[], object]) -> None:
        """Beat until something is so."""
        until(lambda: self.beat() or condition())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def found(name: str) -> str:
    """A program's path; without it the test skips, or fails where everything is required."""
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is not None:
        return program
    if os.environ.get("MASK_KIOSK_REQUIRE_SHARED") == "1":
        pytest.fail(f"MASK_KIOSK_REQUIRE_SHARED=1, but there is no {name}")
    pytest.skip(f"needs {name}: apt install {name}")


@pytest.fixture
def openssl() -> str:
    """The program that makes certificates."""
    return found("openssl")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that is not yet started."""
    program = found("mosquitto")
    folder = tmp_path / "broker"
    folder.mkdir()
    mosquitto = Mosquitto(program, folder)
    yield mosquitto
    mosquitto.kill()


@pytest.fixture
def subscribe(broker: Mosquitto) -> Iterator[Callable[..., Reader]]:
    """Makes subscribers of everything; returns when they are subscribed."""
    readers: list[Reader] = []

    def subscribed(user: tuple[str, str] | None = None, qos: int = 1) -> Reader:
        readers.append(Reader(broker.port, user, qos))
        until(lambda: readers[-1].sessions)
        return readers[-1]

    yield subscribed
    for reader in readers:
        reader.close()


@pytest.fixture
def make_sink(broker: Mosquitto) -> Iterator[Callable[..., Driven]]:
    """Makes sinks for the broker; keyword arguments are settings of ``[mqtt]``."""
    sinks: list[Driven] = []

    def made(**changes: Any) -> Driven:
        values = {"host": "127.0.0.1", "port": broker.port, "kiosk_id": "door", **changes}
        settings = replace_settings(Settings(), {f"mqtt.{k}": v for k, v in values.items()})
        sinks.append(Driven(settings.mqtt))
        return sinks[-1]

    yield made
    for sink in sinks:
        sink.close()
