"""Installs the kiosk in a whole simulated device and looks at what it does.

    python deploy/rig/device.py             the installer, and the service
    python deploy/rig/device.py models      models that are installed after the application
    python deploy/rig/device.py card        the first start from a prepared SD card

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
import card
import images
import kernel
import model_checks
import plan
from cache import UNAVAILABLE, BuildError, cpu_seconds
from debian import check_commands, check_host
from edge_app.settings import IndicatorSettings
from machine import MEMORY_FOLDER, MEMORY_MB, Machine
from report import Report

FOLDER = bundle.CHECKOUT / "build" / "rig"

MAKE = {"whole": "rig", "models": "rig-models", "card": "rig-card"}
PLANS = {"whole": plan.WHOLE, "models": plan.MODELS}
"""By what is asked for. A card has a device of its own kind."""

NOT_COVERED = """\
Not covered by this rig: the Pi's camera (its sensor and its image processor), the Pi's speed and
heat, its vendor kernel and archive, and the electricity on its pins: here a pin falls back to 0
when its program dies, on a Pi it may keep its state."""


def main() -> int:
    """Build, start, look, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--no-build", action="store_true", help="end with exit code 3 if something is missing"
    )
    parser.add_argument("what", nargs="?", choices=MAKE, default="whole", help="see above")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("rig: another run of the rig is going on in this checkout", file=sys.stderr)
            return UNAVAILABLE
        try:
            return _run(arguments.what, build=not arguments.no_build)
        except BuildError as error:
            print(f"rig: {error}", file=sys.stderr)
            return UNAVAILABLE


def _run(what: str, *, build: bool) -> int:
    begin, used = time.monotonic(), cpu_seconds()
    wanted = PLANS.get(what)
    if not wanted:
        check_commands(card.COMMANDS)
    parts = (kernel.kernel(), images.root() if wanted else images.card_root())
    absent = [part.label for part in parts if not part.path.exists()]
    if absent:
        if not build:
            raise BuildError(f"not built yet: {', '.join(absent)}; run: make {MAKE[what]}")
        check_host()
    devices = len(wanted.names) if wanted else 1
    need, free = devices * MEMORY_MB, shutil.disk_usage(MEMORY_FOLDER).free >> 20
    if free < need:
        raise BuildError(f"needs {need} MB free in {MEMORY_FOLDER}, there are {free}")
    program, image = (part.built() for part in parts)
    bundle.wheels().built()  # seconds, if there is a network
    folder = FOLDER / "run"
    shutil.rmtree(folder, ignore_errors=True)
    built = time.monotonic()
    if wanted:
        report = _installed(wanted, program, image, folder)
    else:
        report = _from_card(program, image, folder)
    end = time.monotonic()
    load = os.getloadavg()[0]
    print(f"\n{report.table()}\n\n{NOT_COVERED}")
    print(
        f"built in {built - begin:.0f} s, looked at in {end - built:.0f} s; processor time "
        f"{cpu_seconds() - used:.0f} s on {os.cpu_count()} cores, load {load:.1f} at the end"
    )
    return 0 if report.passed else 1


def _installed(wanted: plan.Plan, program: Path, image: Path, folder: Path) -> Report:
    machine = Machine(program, image, folder / plan.FIRST, _pins())

    def prepare() -> None:
        bundles = bundle.made(folder, folder / "bundle.log")
        for name, path in bundles.items():
            path.rename(machine.share / name)
        if wanted is plan.MODELS:
            model_checks.prepare(bundle.CHECKOUT / "edge_app" / "models", machine.share / "models")

    return plan.run(machine, folder, prepare, wanted)


def _from_card(program: Path, image: Path, folder: Path) -> Report:
    folder.mkdir()
    _, amber, green, _ = _pins()
    disk = card.make(folder / "card", amber, green, folder / "card.log")
    arguments = (f"ubd1={disk}", card.KERNEL_ARGUMENT)
    report = Report("card")
    machine = Machine(program, image, folder / "device", _pins(), arguments)
    plan.from_card(machine, report)
    return report


def _pins() -> tuple[int, int, int, int]:
    lamps = IndicatorSettings()
    return lamps.red, lamps.amber, lamps.green, lamps.buzzer


if __name__ == "__main__":
    sys.exit(main())
