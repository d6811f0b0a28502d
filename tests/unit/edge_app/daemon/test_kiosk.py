from __future__ import annotations

import logging
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from edge_app.daemon import Kiosk
from edge_app.daemon.meter import Health
from edge_app.domain import Frame, Image, MaskState, Observation, Signal, Vitals
from edge_app.errors import (
    BundleNotFoundError,
    CameraLostError,
    CameraStalledError,
    JournalError,
    SourceNotFoundError,
    SourceUnreadableError,
)
from edge_app.pipeline import Pipeline, build_pipeline
from edge_app.settings import Settings, SourceSettings, replace_settings
from edge_app.sinks import Sink
from edge_app.sinks.indicator import Indicator
from edge_app.sinks.web import StatusPage
from edge_app.sources import FrameSource
from tests.services import Systemd

WITH, WITHOUT = MaskState.WITH_MASK, MaskState.WITHOUT_MASK
PATIENCE_S = 20.0
"""How long a test waits for something that must happen; it never does so in vain."""

Script = Iterator[Image | None]
"""What a fake camera does: gives pictures, blocks, or raises; its end is the source's."""


def until(condition: Callable[[], object]) -> None:
    """Block until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


class ScriptSource(FrameSource):
    """A source that plays a script."""

    name = "script"
    fps = 100.0
    frame_count = None
    size = (128, 96)

    def __init__(self, script: Script, live: bool) -> None:
        self.live = live
        self._script = script
        self._index = 0
        self.closed = False

    def read(self) -> Frame | None:
        image = next(self._script, None)
        if image is None:
            return None
        self._index += 1
        return Frame(image, self._index / self.fps, self._index - 1)

    def close(self) -> None:
        self.closed = True


class Recorder:
    """A sink that remembers."""

    name = "recorder"

    def __init__(self) -> None:
        self.vitals: list[Vitals] = []
        self.observations: list[Observation] = []
        self.threads: set[int] = set()
        self.closed = 0

    def handle(self, observation: Observation, frame: Frame | None) -> None:
        self.observations.append(observation)
        self.threads.add(threading.get_ident())

    def report(self, vitals: Vitals) -> None:
        self.vitals.append(vitals)
        self.threads.add(threading.get_ident())

    def close(self) -> None:
        self.closed += 1
        self.threads.add(threading.get_ident())


class Rig:
    """A kiosk with a scripted source, real (tiny) models and pretend pins."""

    def __init__(self, settings: Settings, factory: MockFactory, paint: Any) -> None:
        self.settings = replace_settings(settings, {"policy.stale_s": 0.5, "policy.hold_s": 0.2})
        numbers = self.settings.indicator
        self.pins: dict[str, MockPin] = {
            name: factory.pin(getattr(numbers, name))
            for name in ("red", "amber", "green", "buzzer")
        }
        self.indicator = Indicator(self.settings.indicator, factory)
        self.self_test = self.lingers = False
        self.sink = Recorder()
        self.more_sinks: list[Sink] = []
        self.paint = paint
        self.sources: list[ScriptSource] = []
        self.live = True
        self.opened = 0
        self.build: Callable[[Settings], Pipeline] = build_pipeline
        self.read_health: Callable[[], Health] = lambda: (None, None)
        self.kiosk: Kiosk

    def run(self, *scripts: Script | Exception) -> int:
        """Run with one script (or failure to open) after the other."""
        left = iter(scripts)

        def open_scripted(uri: str, settings: SourceSettings) -> FrameSource:
            assert uri == self.settings.source.uri
            self.opened += 1
            script = next(left)
            if isinstance(script, Exception):
                raise script
            self.sources.append(ScriptSource(script, self.live))
            return self.sources[-1]

        self.kiosk = Kiosk(
            self.settings,
            self.indicator,
            logging.getLogger("kiosk"),
            [*self.more_sinks, self.sink],
            self_test=self.self_test,
            lingers=lambda _error: self.lingers,
            open_source=open_scripted,
            build_pipeline=self.build,
            read_health=self.read_health,
        )
        return self.kiosk.run()

    def shows(self, wanted: Signal) -> Callable[[], bool]:
        return lambda: self.indicator.signal is wanted

    def camera(self, state: MaskState, condition: Callable[[], object]) -> Iterator[Image]:
        """Pictures of one person until something is so."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            yield self.paint({(7, 5): state})
            time.sleep(0.01)

    def end(self) -> Iterator[Image]:
        """Stop the kiosk; pictures until the light is off."""
        self.kiosk.stop()
        yield from self.camera(WITH, lambda: self.indicator.signal is None)

    def lamps_are_off(self) -> bool:
        return all(pin.states[-1].state is False for pin in self.pins.values())

    def was_lit(self, name: str, since: int = 0) -> bool:
        """Whether an output was on, in its states from a certain one on."""
        return any(state.state for state in self.pins[name].states[since:])


@pytest.fixture
def rig(
    tiny_settings: Settings,
    mock_factory: MockFactory,
    paint: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Rig:
    monkeypatch.setattr("edge_app.backoff.BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr("edge_app.daemon.kiosk.FAREWELL_S", 0.7)
    caplog.set_level(logging.INFO, "kiosk")
    return Rig(tiny_settings, mock_factory, paint)


def signals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The signals in the order in which the log names them."""
    names = [r.getMessage().partition(":")[0] for r in caplog.records if r.levelno == logging.INFO]
    return [name for name in names if name in list(Signal)]


# A good day


def test_the_light_follows_the_camera_and_is_off_after_a_stop(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    def day() -> Script:
        yield from rig.camera(WITHOUT, lambda: rig.was_lit("buzzer"))
        yield from rig.camera(WITH, lambda: rig.shows(Signal.COMPLIANT)() and rig.was_lit("green"))
        yield from rig.end()

    assert rig.run(day()) == 0
    assert rig.was_lit("red")
    assert rig.lamps_are_off()
    told = [s for s in signals(caplog) if s != "IDLE"]
    # FAULT while it starts; a busy machine may look at the light first when frames flow already.
    assert told[told[0] == "FAULT" :] == ["NO_MASK", "COMPLIANT"]
    shown = [seen.signal for seen in rig.sink.observations]
    assert Signal.NO_MASK in shown
    assert shown[-1] is Signal.COMPLIANT
    until(lambda: rig.sink.closed)
    assert rig.sink.closed == 1
    assert len(rig.sink.threads) == 1, "sinks know one thread only"


def test_the_end_of_a_file_ends_the_run(rig: Rig, paint: Any) -> None:
    rig.live = False
    images = [paint({(7, 5): WITHOUT})] * 60
    assert rig.run(iter(images)) == 0
    assert rig.sources[0].closed
    assert rig.opened == 1
    assert rig.lamps_are_off()
    frames = [seen for seen in rig.sink.observations if seen.signal is not Signal.FAULT]
    assert frames[0].frame_index == 0, "nothing is missed while the models are loaded"
    assert frames[-1].frame_index == 59
    assert frames[-1].signal is Signal.NO_MASK
    times = [seen.time for seen in rig.sink.observations]
    assert times == sorted(times)
    # Played at its own speed: 60 frames at 100 per second.
    assert frames[-1].time - frames[0].time >= 0.58


def test_every_observation_is_on_the_daemons_clock(rig: Rig, paint: Any) -> None:
    rig.live = False
    before = time.monotonic()
    rig.run(iter([paint({})] * 3))
    assert all(before <= s.time <= time.monotonic() for s in rig.sink.observations)


# Trouble with the source


def test_a_stall_is_a_fault_and_ends_with_a_fresh_frame(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    def stalling() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        until(rig.shows(Signal.FAULT))
        until(lambda: rig.was_lit("amber"))
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield from rig.end()

    assert rig.run(stalling()) == 0
    faults = [r.getMessage() for r in caplog.records if "no fresh picture for" in r.getMessage()]
    assert len(faults) == 1
    reasons = [s.reason for s in rig.sink.observations if s.signal is Signal.FAULT]
    assert len([r for r in reasons if r.startswith("no fresh picture")]) == 1
    assert rig.lamps_are_off()


@pytest.mark.parametrize(
    "trouble", [CameraLostError("source x: gone"), CameraStalledError("source x: no frame")]
)
def test_a_lost_camera_is_opened_again(
    trouble: Exception, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    def first() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        raise trouble

    def again() -> Script:
        until(rig.shows(Signal.FAULT))
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield from rig.end()

    assert rig.run(first(), trouble, trouble, again()) == 0
    assert rig.opened == 4
    assert rig.sources[0].closed
    assert f"FAULT: {trouble}" in caplog.text
    pauses = [r.args[1] for r in caplog.records if "trying again" in r.msg and r.args]
    assert pauses == [0.02, 0.04, 0.08]


def test_the_pause_before_opening_again_has_a_limit(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    def at_last() -> Script:
        yield from rig.end()

    lost = CameraLostError("gone")
    rig.run(*[lost] * 6, at_last())
    pauses = [r.args[1] for r in caplog.records if "trying again" in r.msg and r.args]
    assert pauses == [0.02, 0.04, 0.08, 0.1, 0.1, 0.1]


def test_a_camera_without_more_frames_is_lost(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    def again() -> Script:
        yield from rig.end()

    assert rig.run(iter([]), again()) == 0
    assert "script: the camera sends no more frames" in caplog.text


def test_a_permanent_fault_shows_fault_and_is_raised(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    before: dict[str, int] = {}

    def breaking() -> Script:
        yield from rig.camera(WITH, lambda: rig.shows(Signal.COMPLIANT)() and rig.was_lit("green"))
        before.update({name: len(pin.states) for name, pin in rig.pins.items()})
        raise SourceUnreadableError("source clip.mp4: the rest is damaged")

    with pytest.raises(SourceUnreadableError, match="the rest is damaged"):
        rig.run(breaking())
    assert signals(caplog)[-1] == "FAULT"
    assert "FAULT: source clip.mp4: the rest is damaged" in caplog.text
    assert rig.was_lit("red", since=before["red"])
    assert rig.was_lit("amber", since=before["amber"])
    assert rig.lamps_are_off()


def test_a_source_that_does_not_exist_is_raised(rig: Rig) -> None:
    with pytest.raises(SourceNotFoundError) as caught:
        rig.run(SourceNotFoundError("source x: there is no such file"))
    assert caught.value.exit_code == 2
    assert rig.was_lit("red")
    assert rig.lamps_are_off()


# Trouble with the pipeline


def test_a_pipeline_that_hangs_is_a_fault_in_its_full_rhythm_and_can_be_stopped(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    released, hanging = threading.Event(), threading.Event()

    class HangingDetector:
        def __init__(self, real: Any) -> None:
            self.real, self.frames = real, 0

        def detect(self, image: Image) -> Any:
            if hanging.is_set():
                released.wait(PATIENCE_S)
            return self.real.detect(image)

    def build(settings: Settings) -> Pipeline:
        pipeline = build_pipeline(settings)
        pipeline.detector = HangingDetector(pipeline.detector)
        return pipeline

    def day() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        hanging.set()
        yield from rig.camera(WITH, rig.shows(Signal.FAULT))
        before = {name: len(rig.pins[name].states) for name in ("red", "amber")}
        yield from rig.camera(
            WITH, lambda: all(len(rig.pins[n].states) >= before[n] + 3 for n in before)
        )
        yield from rig.end()

    rig.build = build
    try:
        assert rig.run(day()) == 0
        assert rig.lamps_are_off()
        assert "the pipeline thread hangs and is left behind" in caplog.text
    finally:
        released.set()
    until(lambda: rig.sink.closed)


def test_models_that_cannot_be_loaded_end_the_run(rig: Rig) -> None:
    rig.settings = replace_settings(rig.settings, {"detector.bundle": "nobody"})
    with pytest.raises(BundleNotFoundError, match="nobody"):
        rig.run(rig.camera(WITH, lambda: rig.sink.closed))
    assert rig.was_lit("red")
    assert rig.lamps_are_off()


def test_a_bug_in_a_sink_is_not_swallowed(rig: Rig) -> None:
    def handle(observation: Observation, frame: Frame | None) -> None:
        raise ZeroDivisionError("a bug")

    rig.sink.handle = handle  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError, match="a bug"):
        rig.run(rig.camera(WITH, lambda: rig.sink.closed))
    assert rig.lamps_are_off()


# A camera that sees nothing


def test_black_pictures_are_a_fault_and_no_reason_to_be_restarted(
    rig: Rig, systemd: Systemd
) -> None:
    rig.settings = replace_settings(rig.settings, {"source.blind_s": 0.2})
    during: list[str] = []

    def dark() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        before = len(rig.pins["amber"].states)
        noise = np.random.default_rng(0)
        while not rig.shows(Signal.FAULT)():
            yield noise.integers(0, 16, (96, 128, 3), np.uint8)
        systemd.received()
        while len(rig.pins["amber"].states) < before + 2:
            yield noise.integers(0, 16, (96, 128, 3), np.uint8)
        during.extend(systemd.received())
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield from rig.end()

    assert rig.run(dark()) == 0
    assert rig.opened == 1
    assert "WATCHDOG=1" in during
    faults = [s for s in rig.sink.observations if s.signal is Signal.FAULT and s.timings]
    assert {s.reason for s in faults} == {
        "source picamera: the picture is black; is the lens covered, or the light off?"
    }


def test_the_very_same_picture_again_and_again_is_a_stall(
    rig: Rig, paint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig.settings = replace_settings(rig.settings, {"source.frozen_s": 0.4})

    def frozen() -> Script:
        picture = paint({(7, 5): WITH})
        while True:
            yield picture
            time.sleep(0.01)

    def still_frozen() -> Script:
        until(rig.shows(Signal.FAULT))
        yield from frozen()

    def again() -> Script:
        assert rig.shows(Signal.FAULT)(), "opening it again is no proof that it sees"
        for i in range(100):
            picture = paint({(7, 5): WITH})
            picture[0, 0] = i + 1  # a live sensor never sends the same twice
            yield picture
        yield from rig.end()

    assert rig.run(frozen(), still_frozen(), again()) == 0
    assert caplog.text.count("very same picture for 0 s; trying again in 0.02 s") == 1
    assert caplog.text.count("very same picture for 1 s; trying again in 0.04 s") == 1
    assert rig.opened == 3


@pytest.mark.parametrize(
    "garbage",
    [
        np.zeros((96, 128), np.uint8),
        np.zeros((96, 128, 4), np.uint8),
        np.zeros((96, 128, 3), np.float32),
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((1, 20000, 3), np.uint8),
    ],
    ids=lambda g: f"{g.dtype}-{g.shape}",
)
def test_pictures_of_garbage_sizes_are_a_lost_camera(
    garbage: Any, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield garbage

    def again() -> Script:
        until(rig.shows(Signal.FAULT))
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield from rig.end()

    assert rig.run(broken(), again()) == 0
    assert f"no pictures but {garbage.dtype} of shape {garbage.shape}" in caplog.text


def test_a_camera_that_changes_its_size_goes_on(rig: Rig, paint: Any) -> None:
    def changing() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        for _ in range(20):
            yield cv2.resize(paint({(7, 5): WITH}), (256, 192), interpolation=cv2.INTER_NEAREST)
        yield from rig.end()

    assert rig.run(changing()) == 0
    assert rig.opened == 1


# Trouble with a sink


def test_a_sink_in_trouble_is_said_once_and_disturbs_nobody(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_app.daemon.delivery.REPORT_S", 0.05)
    full = threading.Event()

    def report(vitals: Vitals) -> None:
        rig.sink.vitals.append(vitals)
        if full.is_set():
            raise JournalError("the disk is full")

    rig.sink.report = report  # type: ignore[method-assign]

    def day() -> Script:
        full.set()
        yield from rig.camera(WITH, lambda: rig.sink.vitals and rig.sink.vitals[-1].troubles)
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        full.clear()
        yield from rig.camera(WITH, lambda: not rig.sink.vitals[-1].troubles)
        yield from rig.end()

    assert rig.run(day()) == 0
    assert caplog.text.count("recorder: the disk is full") == 1
    assert caplog.text.count("recorder: works again") == 1
    assert {v.faults.get("recorder", 0) for v in rig.sink.vitals} == {0, 1}


def test_a_sink_that_hangs_holds_up_neither_the_light_nor_the_end(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()
    rig.sink.handle = lambda observation, frame: released.wait(PATIENCE_S)  # type: ignore[assignment,method-assign,return-value]

    def day() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield from rig.camera(WITHOUT, rig.shows(Signal.NO_MASK))
        yield from rig.end()

    try:
        assert rig.run(day()) == 0
        assert "the delivery thread hangs and is left behind" in caplog.text
    finally:
        released.set()
    until(lambda: rig.sink.closed)


# The kiosk's own state


def test_the_vitals_tell_rate_latency_and_heat(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_app.daemon.delivery.REPORT_S", 0.05)
    monkeypatch.setattr("edge_app.daemon.meter.HEALTH_S", 0.0)
    hot: list[str] = []
    rig.read_health = lambda: (81.0, tuple(hot))

    def day() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        hot.append("throttled now")
        yield from rig.camera(WITH, lambda: rig.sink.vitals[-1].troubles)
        hot.clear()
        yield from rig.camera(WITH, lambda: not rig.sink.vitals[-1].troubles)
        yield from rig.end()

    assert rig.run(day()) == 0
    vitals = rig.sink.vitals[-1]
    assert 0 < vitals.frames <= len([s for s in rig.sink.observations if s.timings])
    assert vitals.fps > 0
    assert 0 <= vitals.latency_ms["p50"] <= vitals.latency_ms["p99"] <= vitals.latency_ms["max"]
    assert vitals.temperature_c == 81.0
    assert vitals.faults == {"processor": 1}
    assert "processor: throttled now; check power supply and cooling" in caplog.text
    assert "processor: works again" in caplog.text
    assert rig.shows(Signal.FAULT)() is False


def test_with_nobody_in_view_few_frames_are_looked_at(rig: Rig, paint: Any) -> None:
    """100 frames a second come; 4 a second are enough while the room is empty."""
    rig.settings = replace_settings(rig.settings, {"source.idle_fps": 4.0})
    taken = {"empty": 0, "busy": 0}

    def day() -> Script:
        wall = np.random.default_rng(0).integers(10, 40, (96, 128, 3), np.uint8)
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        while not rig.shows(Signal.IDLE)() or rig.sink.observations[-1].tracks:
            yield wall
        end = time.monotonic() + 1.0
        before = len(rig.sink.observations)
        while time.monotonic() < end:
            yield wall
            time.sleep(0.01)
        taken["empty"] = len(rig.sink.observations) - before
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        before = len(rig.sink.observations)
        for _ in range(100):
            yield paint({(7, 5): WITH})
            time.sleep(0.01)
        taken["busy"] = len(rig.sink.observations) - before
        yield from rig.end()

    assert rig.run(day()) == 0
    assert 1 <= taken["empty"] <= 6, "the first may have been on its way"
    assert taken["busy"] > 2 * taken["empty"]
    assert all(s.signal is not Signal.FAULT for s in rig.sink.observations if s.timings)


def test_at_the_start_every_lamp_lights_once(rig: Rig) -> None:
    rig.self_test = True

    def day() -> Script:
        yield from rig.camera(WITH, lambda: rig.was_lit("buzzer"))
        yield from rig.end()

    assert rig.run(day()) == 0
    lit = {name: next(s.timestamp for s in pin.states if s.state) for name, pin in rig.pins.items()}
    assert sorted(lit, key=lambda name: lit[name]) == ["red", "amber", "green", "buzzer"]


def test_a_permanent_fault_of_a_service_stays_in_sight(
    rig: Rig, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_app.daemon.kiosk.FAREWELL_S", 0.1)
    rig.lingers = True
    done = threading.Thread(
        target=lambda: (
            until(lambda: len([s for s in rig.pins["amber"].states if s.state]) >= 3),
            rig.kiosk.stop(),
        )
    )
    done.start()
    with pytest.raises(SourceNotFoundError):
        rig.run(SourceNotFoundError("source x: there is no such file"))
    done.join()
    messages = systemd.received()
    assert "EXTEND_TIMEOUT_USEC=60000000" in messages
    assert not {"READY=1", "WATCHDOG=1"} & set(messages)
    assert any("there is no such file" in m for m in messages if m.startswith("STATUS="))
    assert rig.lamps_are_off()


# Quiet hours


def test_in_quiet_hours_the_buzzer_is_silent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.settings.PolicySettings.is_quiet", lambda self, at: True)

    def day() -> Script:
        yield from rig.camera(WITHOUT, lambda: rig.shows(Signal.NO_MASK)() and rig.was_lit("red"))
        ticks = len(rig.pins["red"].states)
        yield from rig.camera(WITHOUT, lambda: len(rig.pins["red"].states) > ticks + 3)
        yield from rig.end()

    assert rig.run(day()) == 0
    assert not rig.was_lit("buzzer")


# systemd


def test_systemd_hears_of_the_first_frame_and_of_every_signal(rig: Rig, systemd: Systemd) -> None:
    def day() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield from rig.end()

    rig.run(day())
    messages = systemd.received()
    assert messages[0].startswith("STATUS=")
    ready = messages.index("READY=1")
    assert messages.index("WATCHDOG=1") == ready + 1, "the first frame is a fresh one"
    told = "STATUS=COMPLIANT: 1 person wears the mask correctly (of 1 in view); "
    status = next(m for m in messages if m.startswith(told))
    models = r"tiny_detector [0-9a-f]{12}, tiny_classifier [0-9a-f]{12}"
    assert re.fullmatch(rf"[\d.]+ frames per second; models {models}", status.removeprefix(told))
    last = [m for m in messages[:ready] if m.startswith("STATUS=")][-1]
    assert "; models tiny_detector " in last, "who acts on READY knows with which models"


def test_the_log_names_the_models_in_full(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    def day() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield from rig.end()

    with caplog.at_level("INFO"):
        rig.run(day())
    said = [m for m in caplog.messages if "version" in m]
    assert [re.sub("[0-9a-f]{64}", "*", line) for line in said] == [
        "detector: tiny_detector, version *",
        "classifier: tiny_classifier, version *",
    ]


def test_a_kiosk_without_a_camera_is_not_ready_but_waits(rig: Rig, systemd: Systemd) -> None:
    heard: list[str] = []

    def at_last() -> Script:
        heard.extend(systemd.received())
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield from rig.end()

    rig.run(*[CameraLostError("gone")] * 4, at_last())
    assert "READY=1" not in heard
    assert "WATCHDOG=1" not in heard
    assert "EXTEND_TIMEOUT_USEC=60000000" in heard
    assert "READY=1" in systemd.received()


def test_the_watchdog_hears_nothing_without_fresh_frames(rig: Rig, systemd: Systemd) -> None:
    during: list[str] = []

    def stalling() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        until(rig.shows(Signal.FAULT))
        systemd.received()
        lit = len(rig.pins["red"].states)
        until(lambda: len(rig.pins["red"].states) > lit + 2)
        during.extend(systemd.received())
        yield from rig.end()

    rig.run(stalling())
    assert "WATCHDOG=1" not in during


def test_a_systemd_that_does_not_listen_is_said_once(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))

    def day() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield from rig.end()

    assert rig.run(day()) == 0
    assert caplog.text.count("systemd cannot be told") == 1


# A sink that serves


def test_a_page_whose_port_is_taken_is_served_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_app.daemon.delivery.REPORT_S", 0.05)
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    page = StatusPage(replace_settings(rig.settings, {"web.enabled": True, "web.port": port}))
    rig.more_sinks = [page]

    def day() -> Script:
        yield from rig.camera(WITH, lambda: rig.sink.vitals and rig.sink.vitals[-1].troubles)
        assert rig.sink.vitals[-1].troubles.keys() == {"web"}
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        taken.close()
        yield from rig.camera(WITH, lambda: page.address)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
        yield from rig.camera(WITH, lambda: not rig.sink.vitals[-1].troubles)
        yield from rig.end()

    assert rig.run(day()) == 0
    assert caplog.text.count("web: works again") == 1
    assert page.address is None
