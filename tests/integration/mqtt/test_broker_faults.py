"""A broker that is absent, dies, hangs or refuses: what subscribers get, what the log says."""

from __future__ import annotations

import itertools
import json
import logging
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory

from edge_app.daemon import Kiosk
from edge_app.domain import Frame, Signal
from edge_app.errors import BrokerError
from edge_app.settings import Settings, replace_settings
from edge_app.sinks.indicator import Indicator
from edge_app.sources import FrameSource

DISCOVERY = "homeassistant/device/mask_kiosk_door/config"
SIGNAL = "mask-kiosk/door/signal"
KIOSK, READER = ("kiosk", "tells"), ("reader", "reads")
ENDLESS = itertools.cycle(Signal)
PATIENCE_S = 60.0


def until(condition: Callable[[], object], pause: float) -> None:
    """Block until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(pause)


def changes(payloads: list[bytes]) -> list[int]:
    """The number of each change, as subscribers see it."""
    return [json.loads(payload)["change"] for payload in payloads]


def first_time(numbers: list[int]) -> list[int]:
    """Without those that came a second time: QoS 1 is "at least once"."""
    return list(dict.fromkeys(numbers))


def password_file(tmp_path: Path, password: str) -> str:
    path = tmp_path / "password"
    path.write_text(password + "\n")
    path.chmod(0o600)
    return str(path)


def test_a_broker_that_comes_later_gets_the_last_state_only(
    broker: Any,
    make_sink: Callable[..., Any],
    subscribe: Callable[..., Any],
) -> None:
    sink = make_sink()
    sink.until(lambda: sink.trouble)
    where = f"MQTT broker 127.0.0.1:{broker.port}: "
    assert sink.trouble.startswith(where + "connection refused; is the broker running")
    for _ in range(5000):
        sink.see(next(ENDLESS))
        sink.beat(after=1)
    with pytest.raises(BrokerError, match="connection refused"):
        sink.report(sink.vitals)
    assert sink.idle, "nothing piles up"
    broker.start()
    reader = subscribe()
    sink.until(lambda: sink.connected and sink.idle and reader.payloads(SIGNAL))
    assert sink.trouble is None
    assert changes(reader.payloads(SIGNAL)) == [sink.changes]
    sink.report(sink.vitals)


def test_a_killed_broker_costs_no_change_that_was_told_while_connected(
    broker: Any, make_sink: Callable[..., Any], subscribe: Callable[..., Any], tmp_path: Path
) -> None:
    broker.let_in(KIOSK, READER)
    broker.configure(broker.passwords)
    broker.start()
    # QoS 0: nothing goes back to the broker whose death could tear down what is on its way here.
    reader = subscribe(READER, qos=0)
    sink = make_sink(username=KIOSK[0], password_file=password_file(tmp_path, KIOSK[1]))
    sink.until(lambda: sink.connected)
    told: set[int] = set()

    def load(condition: Callable[[], object]) -> None:
        """The light changes far more often than ever on a wall, until something is so."""

        def change() -> object:
            before = sink.trouble
            sink.see(next(ENDLESS))
            sink.beat()
            if before is None and sink.trouble is None:
                told.add(sink.changes)
            return condition()

        until(change, pause=0.001)

    for enough in (200, 400, 600):
        load(lambda enough=enough: len(told) >= enough)
        broker.kill()
        load(lambda: sink.trouble)
        # The reader comes in first, so that whatever the kiosk sends again finds it there.
        broker.let_in(READER)
        sessions = reader.sessions
        broker.start()
        sink.until(lambda sessions=sessions: reader.sessions > sessions)
        broker.let_in(KIOSK, READER)
        broker.signal(signal.SIGHUP)
        sink.until(lambda: sink.connected)
    load(lambda: len(told) >= 800)
    sink.until(lambda: sink.idle and changes(reader.payloads(SIGNAL))[-1] == sink.changes)
    got = first_time(changes(reader.payloads(SIGNAL)))
    assert got == sorted(got), "in order"
    assert told <= set(got), "none is lost"
    assert len(reader.payloads(DISCOVERY)) >= 3, "told again after each restart"
    assert reader.newest("mask-kiosk/door/availability") == b"online"


def test_a_broker_that_hangs_is_waited_for_with_a_full_queue_at_most(
    broker: Any, make_sink: Callable[..., Any], subscribe: Callable[..., Any]
) -> None:
    broker.start()
    reader = subscribe()
    sink = make_sink()
    sink.until(lambda: sink.connected and sink.idle)
    broker.signal(signal.SIGSTOP)
    seen = itertools.cycle((Signal.IDLE, Signal.COMPLIANT))
    for _ in range(1500):
        sink.see(next(seen))
    assert sink.trouble.endswith("too slow; some changes are left out")
    broker.signal(signal.SIGCONT)
    sink.until(lambda: sink.idle and changes(reader.payloads(SIGNAL))[-1] == sink.changes)
    sink.until(lambda: sink.trouble is None)
    got = first_time(changes(reader.payloads(SIGNAL)))
    assert got[:1000] == list(range(1000)), "what fits into the queue, in order"
    assert got == sorted(got)
    assert got[-1] == 1500


def test_a_wrong_password_is_named(
    broker: Any, make_sink: Callable[..., Any], tmp_path: Path
) -> None:
    broker.let_in(KIOSK)
    broker.configure(broker.passwords)
    broker.start()
    sink = make_sink(username=KIOSK[0], password_file=password_file(tmp_path, "guessed"))
    sink.until(lambda: sink.trouble)
    assert "refuses us (" in sink.trouble
    assert sink.trouble.endswith("check mqtt.username and mqtt.password_file")
    assert "guessed" not in sink.trouble


def test_a_topic_that_is_refused_is_named_until_it_is_taken(
    broker: Any,
    make_sink: Callable[..., Any],
    subscribe: Callable[..., Any],
    tmp_path: Path,
    root: Path,
) -> None:
    rights = tmp_path / "rights"
    rights.write_text("user kiosk\ntopic readwrite mask-kiosk/#\nuser reader\ntopic read #\n")
    rights.chmod(0o600)
    broker.let_in(KIOSK, READER)
    broker.configure(broker.passwords, f"acl_file {rights}")
    broker.start()
    reader = subscribe(READER)
    sink = make_sink(username=KIOSK[0], password_file=password_file(tmp_path, KIOSK[1]))
    sink.until(lambda: sink.trouble)
    assert f"does not take {DISCOVERY}: Not authorized" in sink.trouble
    sink.see(Signal.NO_MASK)
    sink.until(lambda: changes(reader.payloads(SIGNAL))[-1:] == [1]), "the rest goes on"
    page = (root / "docs" / "mqtt.md").read_text(encoding="utf-8")
    documented = page[page.index("user kiosk") :].partition("```")[0]
    rights.write_text(documented + "user reader\ntopic read #\n")
    broker.signal(signal.SIGHUP)

    def a_minute_later() -> bool:
        sink.beat(after=60)
        return sink.trouble is None

    sink.until(a_minute_later)
    sink.until(lambda: reader.payloads(DISCOVERY))


# The light


class Camera(FrameSource):
    """A live camera; before it stands one person without a mask. It ends with its pictures."""

    name = "camera"
    fps = 100.0
    frame_count = None
    size = (128, 96)
    live = True

    def __init__(self, pictures: Iterator[Any]) -> None:
        self._frames = (Frame(image, i / self.fps, i) for i, image in enumerate(pictures))

    def read(self) -> Frame | None:
        return next(self._frames)

    def close(self) -> None:
        """Nothing is held."""


def somebody_without_a_mask() -> Any:
    """What the tiny models of tests/data see so, see make_tiny.py."""
    image = np.zeros((96, 128, 3), np.uint8)
    image[28:60, 44:76] = (80, 0, 0)
    image[40:48, 56:64] = (255, 0, 0)
    return image


@pytest.mark.parametrize("fault", ["absent", "refuses", "hangs"])
def test_the_light_does_not_care(
    fault: str,
    broker: Any,
    make_sink: Callable[..., Any],
    mock_factory: MockFactory,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if fault == "refuses":
        broker.let_in(READER)
        broker.configure(broker.passwords)
    if fault != "absent":
        broker.start()
    sink = make_sink()
    if fault == "hangs":
        sink.until(lambda: sink.connected)
        broker.signal(signal.SIGSTOP)
    settings = replace_settings(
        Settings(),
        {
            "detector.bundle": str(root / "tests" / "data" / "tiny_detector.tflite"),
            "classifier.bundle": str(root / "tests" / "data" / "tiny_classifier.tflite"),
            "indicator.pins": "mock",
        },
    )
    red = mock_factory.pin(settings.indicator.red)
    indicator = Indicator(settings.indicator, mock_factory)

    def pictures() -> Iterator[Any]:
        end = time.monotonic() + 60
        while not (
            indicator.signal is Signal.NO_MASK
            and any(entry.state for entry in red.states)
            and (fault == "hangs" or sink.trouble)
        ):
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.01)
            yield somebody_without_a_mask()
        kiosk.stop()
        while True:
            time.sleep(0.01)
            yield somebody_without_a_mask()

    kiosk = Kiosk(
        settings,
        indicator,
        logging.getLogger("kiosk"),
        [sink],
        open_source=lambda *_: Camera(pictures()),
    )
    assert kiosk.run() == 0
    assert not red.states[-1].state
    if fault == "hangs":
        broker.signal(signal.SIGCONT)
