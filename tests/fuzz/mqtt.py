"""MQTT: what anybody may publish where the kiosk listens, through a real Mosquitto."""

from __future__ import annotations

import itertools
import json
import queue
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_app.domain import Observation, Signal
from edge_app.settings import MqttSettings
from edge_app.sinks.homeassistant import says_started
from edge_app.sinks.mqtt import Mqtt
from tests.fuzz.mutation import Mutator
from tests.fuzz.target import Target, Violation, Visit, mutated

PATIENCE_S = 5.0

LIFE_SIGN = 50
"""After so many cases the kiosk must still tell its signal, and answer the one true call."""

PREFIX = "homeassistant"
KIOSK = "fuzzed"

CALL = b"online"

SAMPLES = (CALL, b"offline", b'{"signal": "IDLE", "change": 1}', b"IDLE", b"COMPLIANT", b"None")

WORDS = (CALL, b"\0", b"\xff\xfe", b"\xed\xa0\x80", "线😷".encode(), b'{"', b"[" * 500, b" ", b"\n")

LARGE = (4000, 4096, 5000, 70_000)
"""Bytes: around the size above which the kiosk asks the broker to send nothing, and more."""

SIGNALS = (Signal.NO_MASK, Signal.INCORRECT, Signal.COMPLIANT, Signal.IDLE, Signal.FAULT)


class Payloads(Target):
    """A broker, the kiosk's sink, somebody who sends rubbish, and an honest subscriber."""

    name: ClassVar[str] = "mqtt"

    def open(self) -> None:
        self._mutator = Mutator(SAMPLES, WORDS)
        self._folder = Path(tempfile.mkdtemp())
        self._broker, port = _broker(self._folder)
        self._heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._other = Client(
            CallbackAPIVersion.VERSION2, "somebody", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._other.on_message = self._on_message
        _until(lambda: _connects(self._other, port), "the broker does not start")
        self._other.loop_start()
        self._other.subscribe(f"mask-kiosk/{KIOSK}/signal")
        self._other.subscribe(f"{PREFIX}/device/#")
        settings = MqttSettings(
            host="127.0.0.1", port=port, kiosk_id=KIOSK, discovery_prefix=PREFIX
        )
        self._sink = Mqtt(settings)
        self._signals = itertools.cycle(SIGNALS)
        self._count = 0
        self._recent: deque[bytes] = deque(maxlen=LIFE_SIGN)
        self._check_alive()

    def close(self) -> None:
        self._sink.close()
        self._other.disconnect()
        self._other.loop_stop()
        self._broker.kill()
        self._broker.wait()
        shutil.rmtree(self._folder)

    def cases(self, seed: int, start: int, count: int, visit: Visit) -> None:
        mutated(self._make, seed, start, count, visit)

    def _make(self, chance: random.Random) -> bytes:
        """One byte for the way it is sent, then the payload."""
        payload = self._mutator.damage(chance)
        if chance.random() < 0.02:
            size = chance.choice(LARGE)
            payload = ((payload + b"x") * size)[:size] if len(payload) < 100 else payload[:size]
        return bytes([chance.randrange(256)]) + payload

    def judge(self, content: bytes) -> str:
        way, payload = content[0], content[1:]
        self._count += 1
        if says_started(payload) != (payload == CALL):
            raise Violation("rubbish counts as a call")
        self._send(way, payload)
        self._recent.append(content)
        if self._count % LIFE_SIGN == 0:
            try:
                self._check_alive()
            except Violation as violation:
                recent = "\n".join(str(one) for one in self._recent)
                raise Violation(violation.kind, f"{violation}\nafter\n{recent}") from None
            return "sent, and the kiosk goes on"
        return "sent"

    def _send(self, way: int, payload: bytes) -> None:
        """Every bit of ``way`` decides one thing."""
        properties = Properties(PacketTypes.PUBLISH)
        if way & 1:
            properties.UserProperty = ("k" * (way + 1), "\u2028" * way)
        if way & 2:
            properties.ContentType = "x" * way
            properties.PayloadFormatIndicator = way >> 2 & 1
            if properties.PayloadFormatIndicator:
                payload = payload.decode("utf-8", "replace").encode()
        if way & 8:
            properties.ResponseTopic = f"mask-kiosk/{KIOSK}/signal"
            properties.CorrelationData = payload[:1000]
        if way & 16:
            properties.MessageExpiryInterval = way
        self._last = self._other.publish(
            f"{PREFIX}/status",
            payload,
            qos=way >> 5 & 1,
            retain=bool(way & 64),
            properties=properties,
        )

    def _check_alive(self) -> None:
        """A new signal arrives at a subscriber, and a true call is answered with everything."""
        signal = next(self._signals)
        self._drain()
        self._kiosk_says(signal)
        self._hear(
            f"mask-kiosk/{KIOSK}/signal", lambda p: json.loads(p)["signal"] == signal, signal
        )
        self._drain()
        self._send(32, CALL)
        self._last.wait_for_publish(PATIENCE_S)
        if not self._last.is_published():
            raise Violation("the broker takes no more")
        self._hear(f"{PREFIX}/device/", lambda p: "components" in json.loads(p), signal)
        if self._sink.trouble is not None:
            raise Violation("the sink is in trouble", self._sink.trouble)

    def _hear(self, topic: str, fits: Callable[[bytes], bool], signal: Signal) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self._kiosk_says(signal)
            try:
                heard, payload = self._heard.get(timeout=0.02)
            except queue.Empty:
                continue
            if heard.startswith(topic) and fits(payload):
                return
        raise Violation("the kiosk has fallen silent", f"{topic} {signal}: {self._sink.trouble}")

    def _kiosk_says(self, signal: Signal) -> None:
        self._sink.handle(Observation(self._count, time.monotonic(), signal, "why"), None)

    def _drain(self) -> None:
        while not self._heard.empty():
            self._heard.get_nowait()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._heard.put((message.topic, bytes(message.payload)))


def _broker(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A Mosquitto on a free port."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise RuntimeError("mosquitto is not installed: sudo apt install mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    file = folder / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="ascii")
    return subprocess.Popen([program, "-c", str(file)], stderr=subprocess.DEVNULL), port


def _connects(client: Client, port: int) -> bool:
    try:
        client.connect("127.0.0.1", port)
    except OSError:
        return False
    return True


def _until(is_so: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > end:
            raise Violation(complaint)
        time.sleep(0.02)


TARGET = Payloads
