"""Which device is looked at for what: most of the time is waiting, so several run side by side.

The first device is installed. When it runs, the others begin with a copy of its disk; those that
look at the installation itself begin beside it, with nothing on their disks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import camera_checks
import card_checks
import checks
import install_checks
import model_checks
from kiosk import Kiosk
from machine import Machine, RigError
from report import Report

Check = Callable[[Kiosk, Report], None]
Devices = Mapping[str, tuple[Check, ...]]
"""What to look at, by device."""

FIRST = "install"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to look at.

    Attributes:
        beside: On devices on which nothing is installed, from the beginning.
        then: On the first device when it is installed, and on copies of it.
    """

    beside: Devices
    then: Devices

    @property
    def names(self) -> list[str]:
        """All devices."""
        return [*self.then, *self.beside]


WHOLE = Plan(
    beside={
        "again": (install_checks.interrupted, install_checks.picamera, install_checks.repeated),
    },
    then={
        FIRST: (
            checks.confinement,
            checks.devices,
            checks.second_instance,
            checks.reloaded,
            checks.stopped,
            install_checks.packaged,
            install_checks.purged,
        ),
        "upgrade": (checks.switched_on, install_checks.upgraded, install_checks.uninstalled),
        "camera": (camera_checks.absent, camera_checks.lost, camera_checks.blind),
        "process": (checks.restart, checks.killed, checks.hung),
        "power": (camera_checks.clip, checks.wrong_settings, checks.power_cut),
    },
)

MODELS = Plan(
    beside={},
    then={
        FIRST: (model_checks.updated, model_checks.cut),
        "rollback": (checks.switched_on, model_checks.rolled_back),
    },
)
"""The same for models that are installed after the application: these take longer."""

CARD: tuple[Check, ...] = (
    card_checks.first_start,
    card_checks.cut,
    card_checks.completed,
    card_checks.next_start,
)
"""On a device that starts from a prepared card, each after the one before."""


def run(first: Machine, folder: Path, prepare: Callable[[], None], plan: Plan) -> Report:
    """All checks; returns their findings.

    Args:
        first: The first device, switched off.
        folder: For the others.
        prepare: Puts what is installed into the first one's shared folder, while it starts.
        plan: What to look at.
    """
    reports = {name: Report(name) for name in plan.names}
    machines = {FIRST: first} | {name: first.new(folder / name) for name in plan.beside}
    work: list[Future[None]] = []
    begin = time.monotonic()
    try:
        with ThreadPoolExecutor(len(plan.names) + 1) as pool:
            prepared = pool.submit(prepare)
            started = _start(first, reports[FIRST])
            prepared.result()
            for name, todo in plan.beside.items():
                first.share_with(machines[name])
                work.append(pool.submit(_other, todo, machines[name], reports[name]))
            if started and _installed(Kiosk(first), reports[FIRST]):
                print(f"installed after {time.monotonic() - begin:.0f} s", flush=True)
                others = [name for name in plan.then if name != FIRST]
                twins = first.twins([folder / name for name in others])
                machines |= dict(zip(others, twins, strict=True))
                todo = plan.then[FIRST]
                work.append(pool.submit(_look, todo, Kiosk(first), reports[FIRST]))
                for name in others:
                    todo = plan.then[name]
                    work.append(pool.submit(_other, todo, machines[name], reports[name]))
            for done in work:
                done.result()
    finally:
        for machine in machines.values():
            machine.cut()
    used = ", ".join(f"{name} {machine.cpu_seconds:.0f}" for name, machine in machines.items())
    print(f"processor time in seconds: {used}")
    return Report.joined(reports[name] for name in plan.names)


def _installed(kiosk: Kiosk, report: Report) -> bool:
    try:
        install_checks.list_files(kiosk)
        kiosk.settle(kiosk.settings())
        install_checks.installed(kiosk, report)
    except RigError as error:
        report.add("install.sh: could not be looked at", False, None, error)
    return report.passed


def _start(machine: Machine, report: Report) -> bool:
    try:
        machine.start()
    except RigError as error:
        report.add("the device starts", False, None, error)
    return not report.findings


def from_card(machine: Machine, report: Report) -> None:
    """Look at a device that starts from a prepared card."""
    _other(CARD, machine, report, recover=False)


def _other(
    todo: tuple[Check, ...], machine: Machine, report: Report, *, recover: bool = True
) -> None:
    if _start(machine, report):
        _look(todo, Kiosk(machine), report, recover=recover)
    machine.cut()


def _look(todo: tuple[Check, ...], kiosk: Kiosk, report: Report, *, recover: bool = True) -> None:
    """Checks in order; one that cannot go on is a failed finding.

    After one that failed the device's journal is printed, and the kiosk brought into order, or, if
    each builds on the one before, the rest left out.
    """
    for check in todo:
        done = len(report.findings)
        try:
            check(kiosk, report)
        except RigError as error:
            report.add(f"{check.__name__}: could not be looked at", False, None, error)
        if all(finding.passed is not False for finding in report.findings[done:]):
            continue
        try:
            report.tell(kiosk.last_words())
            if not recover:
                return
            kiosk.recover()
        except RigError as error:
            report.add(f"{check.__name__}: in order again", False, None, error)
            return
