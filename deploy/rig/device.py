"""Installs the kiosk in a whole simulated device and looks at what it does.

    python deploy/rig/device.py

User-Mode Linux with a real systemd, cameras (vivid for V4L2, vimc for libcamera) and GPIO pins
(gpio-sim). What is missing is built first and kept, see cache.py. Exit codes: 0 everything passed,
1 something did not, 3 no rig here.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import bundle
import images
import kernel
import model_checks
import plan
from cache import UNAVAILABLE, BuildError, cpu_seconds
from debian import check_host
from edge_app.settings import IndicatorSettings
from machine import MEMORY_FOLDER, MEMORY_MB, Machine

FOLDER = bundle.CHECKOUT / "build" / "rig"

NOT_COVERED = """\
Not covered by this rig: the Pi's camera (its sensor and its image processor), the Pi's speed and
heat, its vendor kernel and archive, and the electricity on its pins: here a pin falls back to 0
when its program dies, on a Pi it may keep its state."""


def main() -> int:
    """Build, start, look, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--no-build", action="store_true", help="end with exit code 3 if something is missing"
    )
    parser.add_argument(
        "--models",
        action="store_true",
        help="look at models that are installed after the application, not at all the rest",
    )
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("rig: another run of the rig is going on in this checkout", file=sys.stderr)
            return UNAVAILABLE
        try:
            wanted = plan.MODELS if arguments.models else plan.WHOLE
            return _run(wanted, build=not arguments.no_build)
        except BuildError as error:
            print(f"rig: {error}", file=sys.stderr)
            return UNAVAILABLE


def _run(wanted: plan.Plan, *, build: bool) -> int:
    begin, used = time.monotonic(), cpu_seconds()
    parts = (kernel.kernel(), images.root())
    absent = [part.label for part in parts if not part.path.exists()]
    if absent:
        if not build:
            raise BuildError(f"not built yet: {', '.join(absent)}; run: make rig")
        check_host()
    need, free = len(wanted.names) * MEMORY_MB, shutil.disk_usage(MEMORY_FOLDER).free >> 20
    if free < need:
        raise BuildError(f"needs {need} MB free in {MEMORY_FOLDER}, there are {free}")
    program, image = (part.built() for part in parts)
    bundle.wheels().built()  # seconds, if there is a network
    folder = FOLDER / "run"
    shutil.rmtree(folder, ignore_errors=True)
    lamps = IndicatorSettings()
    pins = (lamps.red, lamps.amber, lamps.green, lamps.buzzer)
    machine = Machine(program, image, folder / plan.FIRST, pins)
    built = time.monotonic()

    def prepare() -> None:
        bundles = bundle.made(folder, folder / "bundle.log")
        for name, path in bundles.items():
            path.rename(machine.share / name)
        if wanted is plan.MODELS:
            model_checks.prepare(bundle.CHECKOUT / "edge_app" / "models", machine.share / "models")

    report = plan.run(machine, folder, prepare, wanted)
    end = time.monotonic()
    load = os.getloadavg()[0]
    print(f"\n{report.table()}\n\n{NOT_COVERED}")
    print(
        f"built in {built - begin:.0f} s, looked at in {end - built:.0f} s; processor time "
        f"{cpu_seconds() - used:.0f} s on {os.cpu_count()} cores, load {load:.1f} at the end"
    )
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
