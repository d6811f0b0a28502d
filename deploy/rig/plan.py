"""Which device is looked at for what: most of the time is waiting, so several run side by side.

The first device is installed. When it runs, the others begin with a copy of its disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import camera_checks
import checks
import install_checks
import model_checks
from kiosk import Kiosk
from machine import Machine, RigError
from report import Report

Check = Callable[[Kiosk, Report], None]

FIRST = "install"
BEFORE: tuple[Check, ...] = (install_checks.interrupted, install_checks.picamera)
"""On the first device, before its disk is copied."""

DEVICE: dict[str, tuple[Check, ...]] = {
    FIRST: (
        install_checks.repeated,
        checks.confinement,
        checks.devices,
        checks.second_instance,
        checks.reloaded,
        checks.stopped,
    ),
    "upgrade": (checks.switched_on, install_checks.upgraded, install_checks.uninstalled),
    "camera": (camera_checks.absent, camera_checks.lost, camera_checks.blind),
    "process": (checks.restart, checks.killed, checks.hung),
    "power": (camera_checks.clip, checks.wrong_settings, checks.power_cut),
}
"""On the first device and on copies of it, each in less than a minute."""

MODELS: dict[str, tuple[Check, ...]] = {
    FIRST: (model_checks.updated, model_checks.cut),
    "rollback": (checks.switched_on, model_checks.rolled_back),
}
"""The same for models that are installed after the application: these take longer."""


def run(
    first: Machine, folder: Path, prepare: Callable[[], None], then: Mapping[str, Sequence[Check]]
) -> Report:
    """All checks; returns their findings.

    Args:
        first: The first device, switched off.
        folder: For the others.
        prepare: Puts what is installed into the first one's shared folder, while it starts.
        then: What to look at when the kiosk is installed, by device.
    """
    reports = {name: Report(name) for name in then}
    machines = {FIRST: first}
    kiosk, report = Kiosk(first), reports[FIRST]
    begin = time.monotonic()
    try:
        with ThreadPoolExecutor(1) as pool:
            prepared = pool.submit(prepare)
            started = _start(first, report)
            prepared.result()
        if started:
            install_checks.list_files(kiosk)
            _look(BEFORE, kiosk, report, mend=False)
        if report.passed:
            print(f"installed after {time.monotonic() - begin:.0f} s", flush=True)
            kiosk.settle(kiosk.settings())
            others = [name for name in then if name != FIRST]
            twins = first.twins([folder / name for name in others])
            machines |= dict(zip(others, twins, strict=True))
            # The test camera of libcamera costs much; from now on the kiosks have the USB one.
            kiosk.systemctl("restart")
            with ThreadPoolExecutor(len(then)) as pool:
                work = [pool.submit(_look, then[FIRST], kiosk, report, mend=True)]
                for name in others:
                    work.append(pool.submit(_other, then[name], machines[name], reports[name]))
            for done in work:
                done.result()
    finally:
        for machine in machines.values():
            machine.cut()
    used = ", ".join(f"{name} {machine.cpu_seconds:.0f}" for name, machine in machines.items())
    print(f"processor time in seconds: {used}")
    return Report.joined(reports.values())


def _start(machine: Machine, report: Report) -> bool:
    try:
        machine.start()
    except RigError as error:
        report.add("the device starts", False, None, error)
    return not report.findings


def _other(todo: Sequence[Check], machine: Machine, report: Report) -> None:
    if _start(machine, report):
        _look(todo, Kiosk(machine), report, mend=True)
    machine.cut()


def _look(todo: Sequence[Check], kiosk: Kiosk, report: Report, *, mend: bool) -> None:
    """Checks in order; one that cannot go on is a failed finding.

    Args:
        todo: The checks.
        kiosk: Where.
        report: Gets the findings.
        mend: Whether a kiosk is brought into order again after a finding that failed.
    """
    for check in todo:
        done = len(report.findings)
        try:
            check(kiosk, report)
        except RigError as error:
            report.add(f"{check.__name__}: could not be looked at", False, None, error)
        if mend and any(finding.passed is False for finding in report.findings[done:]):
            try:
                kiosk.recover()
            except RigError as error:
                report.add(f"{check.__name__}: in order again", False, None, error)
                return
