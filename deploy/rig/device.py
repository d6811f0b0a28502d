"""Starts the shipped service in a whole simulated device and looks at what it does.

    python deploy/rig/device.py

A User-Mode Linux with a real systemd, a V4L2 camera (vivid) and GPIO pins (gpio-sim). What is
missing is built first. Exit codes: 0 everything passed, 1 something did not, 2 no rig here.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import checks
import images
from edge_app.settings import IndicatorSettings
from kiosk import Kiosk
from machine import Machine, RigError
from report import Report

NOT_COVERED = """\
Not covered by this rig: the Pi's camera (its sensor, its image processor, Picamera2), the Pi's
speed and heat, its vendor kernel, and the electricity on its pins: here a pin falls back to 0
when its program dies, on a Pi it may keep its state."""


def main() -> int:
    """Build, start, look, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--no-build", action="store_true", help="end with exit code 2 if something is missing"
    )
    arguments = parser.parse_args()
    images.BUILD.mkdir(parents=True, exist_ok=True)
    with (images.BUILD / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("rig: another run of the rig is going on in this checkout", file=sys.stderr)
            return 2
        try:
            return _run(build=not arguments.no_build)
        except images.BuildError as error:
            print(f"rig: {error}", file=sys.stderr)
            return 2


def _run(*, build: bool) -> int:
    begin = time.monotonic()
    parts = (images.kernel(), images.device())
    absent = [part.path.parent.name for part in parts if not part.path.exists()]
    if absent and not build:
        raise images.BuildError(f"not built yet: {', '.join(absent)}; run: make rig")
    kernel, image = (part.built() for part in parts)
    folder = images.BUILD / "run"
    shutil.rmtree(folder, ignore_errors=True)
    lamps = IndicatorSettings()
    machine = Machine(kernel, image, folder, (lamps.red, lamps.amber, lamps.green, lamps.buzzer))
    report = Report()
    built = time.monotonic()
    try:
        machine.start()
        print(f"the device runs after {time.monotonic() - built:.0f} s", flush=True)
        kiosk = Kiosk(machine)
        kiosk.install()
        checks.run(kiosk, report)
    except RigError as error:
        report.add("the device works", False, None, error)
    finally:
        machine.cut()
    end = time.monotonic()
    print(f"\n{report.table()}\n\n{NOT_COVERED}")
    print(f"built in {built - begin:.0f} s, looked at in {end - built:.0f} s")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
