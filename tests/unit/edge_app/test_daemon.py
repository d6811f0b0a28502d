from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from edge_app import daemon
from edge_app.daemon import Kiosk, LatestFrame, run_kiosk
from edge_app.domain import Frame, Image, MaskState, Observation, Signal
from edge_app.errors import (
    BundleNotFoundError,
    CameraLostError,
    CameraStalledError,
    PinError,
    SourceNotFoundError,
    SourceUnreadableError,
)
from edge_app.pipeline import Pipeline, build_pipeline
from edge_app.settings import Settings, SourceSettings, replace_settings
from edge_app.sinks.indicator import Indicator
from edge_app.sources import FrameSource

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

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.threads: set[int] = set()
        self.closed = 0

    def handle(self, observation: Observation, frame: Frame | None) -> None:
        self.observations.append(observation)
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
        self.sink = Recorder()
        self.paint = paint
        self.sources: list[ScriptSource] = []
        self.live = True
        self.opened = 0
        self.build: Callable[[Settings], Pipeline] = build_pipeline
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
            [self.sink],
            open_source=open_scripted,
            build_pipeline=self.build,
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
    monkeypatch.setattr(daemon, "BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr(daemon, "FAREWELL_S", 0.7)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
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


# The slot


def test_the_slot_holds_the_newest_frame_only() -> None:
    slot, image = LatestFrame(), np.zeros((1, 1, 3), np.uint8)
    assert slot.take(0) is None
    slot.put(Frame(image, 0, 0))
    slot.put(Frame(image, 1, 1))
    taken = slot.take(0)
    assert taken is not None
    assert taken.index == 1
    assert slot.take(0) is None
    assert not slot.finished


def test_the_last_frame_is_still_taken_after_the_slot_was_closed() -> None:
    slot = LatestFrame()
    slot.put(Frame(np.zeros((1, 1, 3), np.uint8), 0, 0))
    slot.close()
    assert not slot.finished
    assert slot.take(PATIENCE_S) is not None
    assert slot.finished
    assert slot.take(PATIENCE_S) is None, "at once: the slot is closed"


# systemd


@pytest.fixture
def notify_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterable[socket.socket]:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield sock


def received(sock: socket.socket) -> list[str]:
    messages = []
    sock.setblocking(False)
    while True:
        try:
            messages.append(sock.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_systemd_hears_of_the_start_of_every_signal_and_of_the_end(
    rig: Rig, notify_socket: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(notify_socket.getsockname()))

    def day() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        yield from rig.end()

    rig.run(day())
    messages = received(notify_socket)
    assert messages[0] == "READY=1"
    assert messages[-1] == "STOPPING=1"
    assert "STATUS=COMPLIANT: 1 person wears the mask correctly (of 1 in view)" in messages
    assert "WATCHDOG=1" in messages


def test_the_watchdog_hears_nothing_without_fresh_frames(
    rig: Rig, notify_socket: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(notify_socket.getsockname()))
    during: list[str] = []

    def stalling() -> Script:
        yield from rig.camera(WITH, rig.shows(Signal.COMPLIANT))
        until(rig.shows(Signal.FAULT))
        received(notify_socket)
        lit = len(rig.pins["red"].states)
        until(lambda: len(rig.pins["red"].states) > lit + 2)
        during.extend(received(notify_socket))
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


# The whole, as the command line starts it


@pytest.fixture
def clip(tmp_path: Path, paint: Any) -> Callable[[int], Path]:
    """Writes a clip of a bare face, 20 frames per second, without loss."""

    def write(frames: int) -> Path:
        path = tmp_path / "clip.avi"
        picture = cv2.cvtColor(paint({(7, 5): WITHOUT}), cv2.COLOR_RGB2BGR)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 20.0, (128, 96))
        assert writer.isOpened()
        for _ in range(frames):
            writer.write(picture)
        writer.release()
        return path

    return write


def test_a_clip_runs_to_its_end(
    tiny_settings: Settings, clip: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    settings = replace_settings(tiny_settings, {"source.uri": str(clip(20))})
    caplog.set_level(logging.INFO, "kiosk")
    before = signal.getsignal(signal.SIGTERM)
    assert run_kiosk(settings, log=logging.getLogger("kiosk")) == 0
    assert "NO_MASK: 1 person without a mask (of 1 in view)" in caplog.text
    assert signal.getsignal(signal.SIGTERM) is before


def test_pins_are_never_replaced_by_pretend_ones(tiny_settings: Settings) -> None:
    settings = replace_settings(tiny_settings, {"indicator.pins": "gpio"})
    with pytest.raises(PinError, match="mock"):
        run_kiosk(settings, log=logging.getLogger("kiosk"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly(
    number: signal.Signals,
    clip: Callable[[int], Path],
    tiny: Path,
    root: Path,
    notify_socket: socket.socket,
) -> None:
    program = (
        "import logging, sys\n"
        "from edge_app.daemon import run_kiosk\n"
        "from edge_app.settings import Settings, replace_settings\n"
        "changes = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "sys.exit(run_kiosk(replace_settings(Settings(), changes), log=logging.getLogger()))\n"
    )
    changes = {
        "source.uri": str(clip(2000)),
        "detector.bundle": str(tiny / "tiny_detector"),
        "classifier.bundle": str(tiny / "tiny_classifier"),
        "indicator.pins": "mock",
    }
    arguments = [part for pair in changes.items() for part in pair]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=root,
        env={**os.environ, "NOTIFY_SOCKET": str(notify_socket.getsockname())},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            messages = []
            while "WATCHDOG=1" not in messages:
                messages.append(notify_socket.recv(4096).decode())
            process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert received(notify_socket)[-1] == "STOPPING=1"
