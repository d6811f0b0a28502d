"""Runs the shipped application on emulated processors of a Raspberry Pi and compares with x86-64.

    python deploy/rig/arm64.py

Debian for arm64 (bookworm, Python 3.11; trixie, 3.13) is unpacked, the requirements are installed
by its own pip, and the models and the demo clip run under QEMU as on a Pi 4 and on a Pi 5. What is
missing is built first. Exit codes: 0 everything passed, 1 something did not, 3 no rig here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from arm64_checks import Reference, look
from arm64_system import (
    DEVICE,
    EDGE,
    SYSTEMS,
    System,
    UnfitError,
    check_host,
    emulator,
    environment,
    root,
)
from cache import UNAVAILABLE, BuildError, Part, cpu_seconds
from report import Report

NOT_COVERED = """\
Not covered by this rig: time (an emulator says nothing about a Pi's speed), the camera, the
pins, systemd, and what Raspberry Pi OS has beside Debian (picamera2, lgpio, its kernel). Debian's
packages are unpacked, their scripts do not run."""


def main() -> int:
    """Build, run, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--no-build", action="store_true", help="end with exit code 3 if something is missing"
    )
    what.add_argument("--build-only", action="store_true", help="compare nothing")
    options = parser.parse_args()
    begin = time.monotonic()
    try:
        if options.no_build:
            _require_built()
            return _compare(begin)
        refused = _build()
        if not options.build_only:
            return _compare(begin)
        for line in refused:
            print(f"rig: FAIL: {line}", file=sys.stderr)
        return 1 if refused else 0
    except BuildError as error:
        print(f"rig: {error}", file=sys.stderr)
        return UNAVAILABLE


def _parts(system: System) -> list[Part]:
    return [root(system), *(environment(system, how) for how in (DEVICE, EDGE))]


def _require_built() -> None:
    parts = [emulator(), *(part for system in SYSTEMS for part in _parts(system))]
    absent = [part.label for part in parts if not part.path.exists()]
    if absent:
        raise BuildError(f"not built yet: {', '.join(absent)}; run: make rig-arm64")


def _build() -> list[str]:
    """Make what is missing; which requirements the device's pip refused, a line each."""
    if not all(part.path.exists() for system in SYSTEMS for part in (emulator(), root(system))):
        check_host()
    emulator().built()
    with ThreadPoolExecutor(len(SYSTEMS)) as pool:
        return [line for lines in pool.map(_build_one, SYSTEMS) for line in lines]


def _build_one(system: System) -> list[str]:
    refused = []
    for part in _parts(system):
        try:
            part.built()
        except UnfitError as error:  # A finding, told again when the claims are looked at.
            refused.append(f"{system.suite}: {error}")
    return refused


def _compare(begin: float) -> int:
    built, used = time.monotonic(), cpu_seconds()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="rig-arm64-") as name:
        folder = Path(name)
        reference = Reference(folder)
        with ThreadPoolExecutor(len(SYSTEMS)) as pool:
            for done in [pool.submit(look, s, reference, folder, report) for s in SYSTEMS]:
                done.result()
    end = time.monotonic()
    print(f"\n{report.table()}\n\n{NOT_COVERED}")
    cpu = f"{used:.0f} and {cpu_seconds() - used:.0f} s of processor time"
    print(f"built in {built - begin:.0f} s, looked at in {end - built:.0f} s ({cpu})")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
