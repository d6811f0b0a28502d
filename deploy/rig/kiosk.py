"""The kiosk in a device of the rig: installed, asked, and given its camera or not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from edge_app.domain import Signal
from lamps import amber_and_green_swapped, dark_since, last_signal, shown_since
from machine import Machine, Reply, RigError

UNIT = "mask-kiosk.service"
SETTINGS = "/etc/mask-kiosk/kiosk.toml"
VIVID = "/sys/bus/platform/drivers/vivid"
CAMERA = "vivid.0"

DROPPED = "0x00f0f040"
PATTERN = "0x00f0f000"
TEXT = "0x00f0f001"
"""Numbers of the camera's controls: percentage of frames that never come, picture, text in it."""

BARS, BLACK = 0, 5
"""Pictures of the camera. The first is what it shows at first."""

NUMBERS, NO_TEXT = 0, 2
"""Text in them: a frame counter, so that no two are the same, or none, so that all are."""
HOME = "/opt/mask-kiosk"
STATE_FOLDER = "/var/lib/mask-kiosk"

SMALL = "width = 320\nheight = 180\nfps = 10\n"
"""The USB camera's pictures: several devices share a processor, and nobody is in them."""

# The test camera gives one stream only: pictures so small that the kiosk wants no second one.
PICAMERA = '[source]\nuri = "picamera"\nwidth = 320\nheight = 240\n'
CLIP = f'[source]\nuri = "{HOME}/edge_app/assets/demo.mp4"\n'
"""Sources beside the USB camera."""

ASK_S = 0.7
"""Pause between two questions to systemd, each of which costs the device some time. What is
measured comes from systemd's own timestamps."""

LAST_LINES = 60

START_S = 60.0
"""A start loads models and compiles Python: some seconds, more on a busy machine."""

LIGHT_S = 20.0
"""Patience for a rhythm to show; the longest takes two seconds, if the machine is not busy."""


class Line(NamedTuple):
    """A line of the system's journal."""

    time: float
    text: str


class Kiosk:
    """What a check says to the device, and asks of it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    # The service

    def settle(self, text: str) -> None:
        """Write the settings file."""
        self.machine.must("mkdir", "-p", str(Path(SETTINGS).parent))
        self.machine.write(SETTINGS, text)

    def settings(self, source: str = "") -> str:
        """The least settings file for the device: its source; left out, the USB camera."""
        return source or f'[source]\nuri = "{self.camera()}"\n{SMALL}'

    def systemctl(self, *words: str) -> Reply:
        """Run systemctl on the unit, whatever its exit code."""
        return self.machine.call("systemctl", *words, UNIT)

    def shows(self, *names: str) -> Mapping[str, str]:
        """Properties of the unit."""
        listed = ",".join(names)
        reply = self.machine.must("systemctl", "show", "--property", listed, UNIT)
        return dict(line.split("=", 1) for line in reply.output.splitlines())

    def show(self, name: str) -> str:
        """One property of the unit."""
        return self.shows(name)[name]

    def moment(self, name: str) -> float:
        """A timestamp of the unit in seconds of the device's clock."""
        return int(self.show(f"{name}TimestampMonotonic")) / 1e6

    def pid(self) -> int:
        """The service's main process; 0: there is none."""
        return int(self.show("MainPID"))

    def signal(self, name: str) -> Reply:
        """Send a signal to the main process, as anybody with the right to could.

        Raises:
            RigError: There is no such process.
        """
        return self.machine.must("sh", "-c", 'kill -s "$0" "$1"', name, str(self.pid()))

    def wait(self, true: Callable[[], bool], timeout: float) -> bool:
        """Ask again and again until something is true; whether it came true in time."""
        end = time.monotonic() + timeout
        while not true():
            if time.monotonic() >= end:
                return False
            self.machine.listen(ASK_S)
        return True

    def wait_active(self, after: float, timeout: float) -> float | None:
        """When the unit became active after a moment; None: not in time."""
        entered = "ActiveEnterTimestampMonotonic"
        since = 0.0

        def active() -> bool:
            nonlocal since
            seen = self.shows("ActiveState", entered)
            since = int(seen[entered]) / 1e6
            return seen["ActiveState"] == "active" and since > after

        return since if self.wait(active, timeout) else None

    def log(self, after: float, *, of_systemd: bool = False) -> list[Line]:
        """What the kiosk (or systemd about it) wrote into the system's journal since a moment."""
        field = "UNIT" if of_systemd else "_SYSTEMD_UNIT"
        reply = self.machine.must("journalctl", "--quiet", "-b", "-o", "json", f"{field}={UNIT}")
        entries = [json.loads(line) for line in reply.output.splitlines()]
        lines = [Line(int(e["__MONOTONIC_TIMESTAMP"]) / 1e6, _text(e["MESSAGE"])) for e in entries]
        return [line for line in lines if line.time >= after]

    def last_words(self) -> list[str]:
        """The end of the system's journal, as people read it."""
        command = ("journalctl", "--quiet", "--no-pager", "-b", "-o", "short-monotonic")
        return self.machine.must(*command, f"--lines={LAST_LINES}").output.splitlines()

    def recover(self) -> None:
        """Bring the kiosk into order, whatever an earlier check left.

        Raises:
            RigError: It does not come.
        """
        if not self.has_camera():
            self.plug()
        self.settle(self.settings())
        self.systemctl("reset-failed")
        begin = self.machine.must("systemctl", "restart", "--no-block", UNIT).began
        if self.wait_shown(Signal.IDLE, begin, START_S) is None:
            raise RigError(f"the kiosk does not come into order; {self.lately()}")

    # The light

    def now(self) -> float:
        """The device's clock."""
        return self.machine.must("true").ended

    def wait_shown(
        self, signal: Signal, after: float, timeout: float, *, swapped: bool = False
    ) -> float | None:
        """When the lamps began to show a signal after a moment; None: not in time.

        Args:
            signal: Which.
            after: The moment.
            timeout: Patience in seconds.
            swapped: Whether the settings have swapped the amber and the green lamp.
        """

        def since() -> float | None:
            changes = self.machine.changes
            seen = amber_and_green_swapped(changes) if swapped else changes
            return shown_since(signal, seen, after)

        self.machine.wait(lambda: since() is not None, timeout)
        return since()

    def wait_dark(self, after: float, timeout: float) -> float | None:
        """When the last lamp went out after a moment; None: one was on all the time."""
        self.machine.wait(lambda: dark_since(self.machine.changes, after) is not None, timeout)
        return dark_since(self.machine.changes, after)

    def lately(self) -> str:
        """What the lamps did of late, and the last that the kiosk said, for a message."""
        lamps = last_signal(self.machine.changes, self.now())
        said = "; ".join(line.text for line in self.log(0.0)[-2:])
        state = "/".join(self.shows("ActiveState", "SubState", "Result").values())
        return f"lamps, red amber green buzzer: {lamps}; unit: {state}; kiosk: {said}"

    # The camera

    def has_camera(self) -> bool:
        """Whether the camera is plugged in."""
        return self.machine.call("test", "-e", f"{VIVID}/{CAMERA}").code == 0

    def camera(self) -> str:
        """The device file of the camera, found by its name as files are numbered by chance.

        Raises:
            RigError: There is none.
        """
        script = "grep -l '^vivid.*vid-cap' /sys/class/video4linux/*/name"
        reply = self.machine.must("sh", "-c", script)
        return f"/dev/{Path(reply.output.split()[0]).parent.name}"

    def unplug(self) -> float:
        """Take the camera away; returns when."""
        return self.machine.write(f"{VIVID}/unbind", CAMERA).began

    def plug(self) -> float:
        """Give the camera back; returns when."""
        return self.machine.write(f"{VIVID}/bind", CAMERA).began

    def control(self, values: Mapping[str, int]) -> float:
        """Set some of the camera's controls while the kiosk uses it; returns when."""
        camera = self.camera()
        begin = self.now()
        for number, value in values.items():
            self.machine.must("python3", "/rig/control.py", camera, number, str(value))
        return begin


def _text(message: str | list[int]) -> str:
    """A line of the journal; one with colours in it comes as a list of bytes."""
    return message if isinstance(message, str) else bytes(message).decode(errors="replace")
