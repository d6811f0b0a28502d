"""The rig's hands inside the device; runs as root on the guest's own Python.

It makes simulated pins, then speaks JSON lines with the host over the serial line: the host
sends commands to run, the agent sends their results and every change of the lamp lines. It
judges nothing. All times are the guest's CLOCK_MONOTONIC, the clock of systemd's timestamps.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess  # does what the rig on the host says, no shell # nosec B404
import threading
import time
import tty
from pathlib import Path
from typing import Any

SERIAL = "/dev/ttyS0"
CONFIGFS = Path("/sys/kernel/config/gpio-sim/pi")
PIN_COUNT = 54
"""As many as a Raspberry Pi 4 has."""

SAMPLE_S = 0.02
"""A fifth of the shortest step of the light's rhythms."""

SETTINGS = Path("/rig/agent.json")
"""From the host: which pins are lamps."""

_output = threading.Lock()


def make_pins() -> Path:
    """Make the simulated GPIO chip; returns the folder of its lines."""
    bank = CONFIGFS / "bank0"
    bank.mkdir(parents=True)
    (bank / "num_lines").write_text(str(PIN_COUNT))
    (bank / "label").write_text("pinctrl-bcm2711")
    (CONFIGFS / "live").write_text("1")
    device = (CONFIGFS / "dev_name").read_text().strip()
    chip = (bank / "chip_name").read_text().strip()
    return Path("/sys/devices/platform") / device / chip


def tell(serial: int, message: dict[str, Any]) -> None:
    """Send one message to the host."""
    data = (json.dumps(message) + "\n").encode()
    with _output:
        while data:
            data = data[os.write(serial, data) :]


def run(serial: int, order: dict[str, Any]) -> None:
    """Run one command and send its result."""
    began = time.monotonic()
    try:
        done = subprocess.run(  # a list of arguments made here, no shell # nosec B603
            order["argv"],
            input=order["stdin"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=order["timeout"],
            check=False,
        )
        code, output = done.returncode, done.stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        code, output = -1, str(error)
    reply = {"id": order["id"], "code": code, "output": output, "began": began}
    tell(serial, {**reply, "ended": time.monotonic()})


def watch(serial: int, lines: list[int]) -> None:
    """Send the state of the lamps whenever it changes."""
    before = None
    while True:
        now = time.monotonic()
        state = [int(os.pread(line, 4, 0)) for line in lines]
        if state != before:
            tell(serial, {"lamps": state, "time": now})
            before = state
        time.sleep(max(0.0, now + SAMPLE_S - time.monotonic()))


def ready() -> None:
    """Tell systemd that ordinary services may start."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])


def main() -> None:
    """Serve until the device is switched off."""
    pins = json.loads(SETTINGS.read_text())["pins"]
    chip = make_pins()
    serial = os.open(SERIAL, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(serial)
    lines = [os.open(chip / f"sim_gpio{pin}" / "value", os.O_RDONLY) for pin in pins]
    threading.Thread(target=watch, args=(serial, lines), daemon=True).start()
    ready()
    tell(serial, {"hello": time.monotonic()})
    with open(serial, "rb", buffering=0, closefd=False) as orders:
        for line in orders:
            threading.Thread(target=run, args=(serial, json.loads(line)), daemon=True).start()


if __name__ == "__main__":
    main()
