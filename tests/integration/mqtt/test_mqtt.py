"""What subscribers of a real broker get, on good days."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_app.domain import Box, Face, Observation, Signal
from edge_app.settings import Settings, replace_settings
from edge_app.sinks import Sink
from edge_app.sinks.opening import open_sinks

DISCOVERY = "homeassistant/device/mask_kiosk_door/config"
SIGNALS = list(Signal)


def shown(payloads: list[bytes]) -> list[str]:
    return [json.loads(payload)["signal"] for payload in payloads]


def changes(payloads: list[bytes]) -> list[int]:
    return [json.loads(payload)["change"] for payload in payloads]


@pytest.fixture
def door(broker: Any, make_sink: Callable[..., Any]) -> Any:
    """A kiosk's sink that is connected, and has said everything it knows."""
    broker.start()
    sink = make_sink()
    sink.until(lambda: sink.connected)
    return sink


def test_it_is_what_the_settings_ask_for(broker: Any) -> None:
    assert open_sinks(Settings()) == []
    asked = {"mqtt.host": "127.0.0.1", "mqtt.port": broker.port}
    (sink,) = open_sinks(replace_settings(Settings(), asked))
    used: Sink = sink
    assert used.name == "mqtt"
    used.close()
    used.close()


def test_everything_is_retained_for_who_comes_later(
    door: Any, subscribe: Callable[..., Any]
) -> None:
    face = Face(Box(0, 0, 40, 40), 0.9)
    door.handle(Observation(1, 0.1, Signal.NO_MASK, "1 person without a mask", (face, face)), None)
    door.beat(fps=14.96, temperature_c=51.23, throttled=("throttled since boot",))
    door.until(lambda: door.idle)
    late = subscribe()
    late_topics = {
        DISCOVERY,
        *(f"mask-kiosk/door/{key}" for key in ("signal", "people", "fps", "temperature")),
        *(f"mask-kiosk/door/{key}" for key in ("throttling", "problem", "availability")),
    }
    door.until(lambda: len(late.messages) >= len(late_topics))
    assert all(retained for _, _, retained in late.messages)
    held = {topic: payload.decode() for topic, payload, _ in late.messages}
    assert set(held) == late_topics
    assert json.loads(held["mask-kiosk/door/signal"]) == {
        "signal": "NO_MASK",
        "reason": "1 person without a mask",
        "change": 1,
    }
    assert held["mask-kiosk/door/people"] == "2"
    assert held["mask-kiosk/door/fps"] == "15.0"
    assert held["mask-kiosk/door/temperature"] == "51.2"
    assert json.loads(held["mask-kiosk/door/throttling"])["state"] == "OFF"
    assert json.loads(held["mask-kiosk/door/problem"]) == {"state": "OFF", "troubles": {}}
    assert held["mask-kiosk/door/availability"] == "online"


def test_discovery_names_only_topics_that_are_there(
    door: Any, subscribe: Callable[..., Any]
) -> None:
    door.see(Signal.IDLE)
    late = subscribe()
    door.until(lambda: late.newest(DISCOVERY) and door.idle)
    config = json.loads(late.newest(DISCOVERY))
    named = {entity["state_topic"] for entity in config["components"].values()}
    named |= {source["topic"] for source in config["availability"]}
    door.until(lambda: named <= {topic for topic, _, _ in late.messages})


def test_before_anything_was_seen_a_fault_is_told(door: Any, subscribe: Callable[..., Any]) -> None:
    late = subscribe()
    door.until(lambda: late.payloads("mask-kiosk/door/signal"))
    assert shown(late.payloads("mask-kiosk/door/signal")) == ["FAULT"]


def test_500_changes_arrive_in_order(door: Any, subscribe: Callable[..., Any]) -> None:
    reader = subscribe()
    told = [SIGNALS[i % len(SIGNALS)] for i in range(1, 501)]
    for signal in told:
        door.see(signal)
        door.see(signal)  # no change
    door.until(lambda: door.idle)
    topic = "mask-kiosk/door/signal"
    door.until(lambda: changes(reader.payloads(topic))[-1:] == [500])
    assert shown(reader.payloads(topic)) == ["FAULT", *told]
    assert changes(reader.payloads(topic)) == list(range(501))


def test_people_are_told_on_change_and_not_known_without_a_picture(
    door: Any, subscribe: Callable[..., Any]
) -> None:
    reader = subscribe()
    face = Face(Box(0, 0, 40, 40), 0.9)
    for count in (0, 0, 2, 2, 1):
        door.handle(Observation(1, 0.1, Signal.IDLE, "as seen", (face,) * count), None)
    door.handle(Observation(2, 0.2, Signal.FAULT, "no fresh picture"), None)
    topic = "mask-kiosk/door/people"
    door.until(lambda: len(reader.payloads(topic)) >= 4)
    assert reader.payloads(topic) == [b"0", b"2", b"1", b"None"]


def test_figures_that_drift_are_told_now_and_then(door: Any, subscribe: Callable[..., Any]) -> None:
    reader = subscribe()
    rates = [15.0, 15.1, 15.2, 14.9, 15.3, 15.2, 15.1, 15.0, 15.1, 15.2, 15.3, 15.2, 5.0, 5.0]
    for second, fps in enumerate(rates):
        door.beat(after=1, fps=fps, temperature_c=50 + second / 10)
    door.until(lambda: reader.payloads("mask-kiosk/door/fps")[-1:] == [b"5.0"] and door.idle)
    told = reader.payloads("mask-kiosk/door/fps")
    # The first, one ten seconds later, and at once the one that is noticeable.
    assert told[-3:] == [b"15.0", b"15.3", b"5.0"]
    assert reader.payloads("mask-kiosk/door/temperature")[-2:] == [b"50.0", b"51.0"]


def test_a_trouble_of_the_kiosk_is_a_problem(door: Any, subscribe: Callable[..., Any]) -> None:
    reader = subscribe()
    topic = "mask-kiosk/door/problem"
    for second in range(5):  # its words change, it is still the same
        door.beat(after=1, troubles={"camera": f"no picture for {second} s"})
    door.beat(after=1, troubles={})
    door.until(lambda: len(reader.payloads(topic)) >= 3)
    told = [json.loads(payload) for payload in reader.payloads(topic)]
    assert told == [
        {"state": "OFF", "troubles": {}},
        {"state": "ON", "troubles": {"camera": "no picture for 0 s"}},
        {"state": "OFF", "troubles": {}},
    ]


def test_throttling_is_told_while_it_lasts(door: Any, subscribe: Callable[..., Any]) -> None:
    reader = subscribe()
    topic = "mask-kiosk/door/throttling"
    door.beat(throttled=("throttled now", "throttled since boot"))
    door.beat(throttled=("throttled since boot",))
    door.beat(throttled=None)
    door.until(lambda: len(reader.payloads(topic)) >= 4)
    states = [json.loads(payload)["state"] for payload in reader.payloads(topic)]
    assert states[-3:] == ["ON", "OFF", None]


def test_home_assistants_start_brings_everything_again_and_junk_nothing(
    door: Any, subscribe: Callable[..., Any]
) -> None:
    reader = subscribe()
    door.see(Signal.COMPLIANT)
    door.until(lambda: door.idle and reader.payloads("mask-kiosk/door/people"))
    junk = [b"", b"offline", b"ONLINE", b"online ", b"\xff\xfe", os.urandom(300), b"x" * 1_000_000]
    before = len(reader.payloads(DISCOVERY))
    for payload in junk:
        reader.publish("homeassistant/status", payload)
    door.see(Signal.IDLE)
    door.until(lambda: door.idle)
    reader.publish("homeassistant/status", b"online")
    mark = len(reader.messages)
    door.until(
        lambda: (
            reader.newest("mask-kiosk/door/availability") == b"online"
            and len(reader.payloads(DISCOVERY)) > before
            and reader.messages[-1][0] == "mask-kiosk/door/availability"
        )
    )
    again = [topic for topic, _, _ in reader.messages[mark:] if topic != "homeassistant/status"]
    assert again[0] == DISCOVERY
    assert again[-1] == "mask-kiosk/door/availability", "available when all else is told"
    assert len(reader.payloads(DISCOVERY)) == before + 1
    assert door.trouble is None


def test_a_stop_is_told(door: Any, subscribe: Callable[..., Any]) -> None:
    reader = subscribe()
    door.see(Signal.COMPLIANT)
    door.close()
    door.close()
    topics = ("mask-kiosk/door/signal", "mask-kiosk/door/availability")
    door.until(lambda: reader.newest(topics[1]) == b"offline")
    assert json.loads(reader.newest(topics[0])) == {
        "signal": "FAULT",
        "reason": "the kiosk was stopped",
        "change": 2,
    }


ANOTHER_KIOSK = """
import sys, time
from edge_app.domain import Observation, Signal, Vitals
from edge_app.settings import Settings, replace_settings
from edge_app.sinks.mqtt import Mqtt

changes = {"mqtt.host": "127.0.0.1", "mqtt.port": int(sys.argv[1]), "mqtt.kiosk_id": "door"}
sink = Mqtt(replace_settings(Settings(), changes).mqtt)
sink.handle(Observation(0, 0.0, Signal.COMPLIANT, "as seen"), None)
while True:
    sink.report(Vitals(time.monotonic()))
    time.sleep(0.02)
"""


def test_a_killed_kiosk_is_declared_offline(
    broker: Any, subscribe: Callable[..., Any], root: Path
) -> None:
    broker.start()
    reader = subscribe()
    command = [sys.executable, "-c", ANOTHER_KIOSK, str(broker.port)]
    with subprocess.Popen(command, cwd=root) as kiosk:
        try:
            topic = "mask-kiosk/door/availability"
            wait_for(lambda: reader.newest(topic) == b"online")
        finally:
            kiosk.kill()
    wait_for(lambda: reader.newest(topic) == b"offline")
    late = subscribe()
    wait_for(lambda: late.newest(topic) == b"offline")
    assert (topic, b"offline", True) in late.messages, "retained"


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
