"""What the rig looks at: the shipped unit under a real systemd, with its camera and lamps.

Every check does something to the device from outside and judges what came of it: systemd's
own record of the unit, the system's journal, and the lamp lines read back from the kernel.
"""

from __future__ import annotations

import re

from edge_app.domain import Signal
from edge_app.rhythm import RHYTHMS
from kiosk import LIGHT_S, SETTINGS, START_S, STATE_FOLDER, UNIT, Kiosk, Line
from report import Report

EXPOSURE_LIMIT = 2.0
"""systemd's own measure of what a service may do; 10 is everything."""

STOP_S = 2.0
HEARTBEAT_S = RHYTHMS[Signal.IDLE].period + 0.5
"""A heartbeat that goes on shows itself in this time."""

WATCH_SLACK_S = 2.0
QUIET_S = 8.0
"""A restart loop would show in this time: RestartSec is 5 s."""

RELOAD_QUIET_S = 7.0
"""Longer than the unit's TimeoutStopSec."""

WRONG = "[polcy]\nhold_s = 2.0\n"
"""A typo in the settings."""

STATE = f"{STATE_FOLDER}/events.sqlite3"

ALLOWED = ("/dev/gpiochip0", "/dev/media0", "/dev/video0", "/dev/dma_heap/system")
REFUSED = ("/dev/ubda", "/dev/udmabuf", "/dev/kmsg")

OPEN = """
import os, sys
unit, *paths = sys.argv[1:]
with open(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs", "w") as processes:
    processes.write("0")
for path in paths:
    try:
        os.close(os.open(path, os.O_RDWR))
        print(path)
    except PermissionError:
        pass
"""
"""Join a unit's control group, and print which devices can be opened there."""

WHOLE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as journal:
    whole = journal.execute("PRAGMA integrity_check").fetchone()[0]
    tables = [row[0] for row in journal.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    rows = sum(journal.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0] for name in tables)
print(whole, rows)
"""


def switched_on(kiosk: Kiosk, report: Report) -> None:
    """The device was switched on, and nobody did anything."""
    active = kiosk.wait_active(0.0, START_S)
    report.add("switched on: READY", active is not None, active, kiosk.show("StatusText"))
    idle = kiosk.wait_shown(Signal.IDLE, 0.0, LIGHT_S)
    report.timed("switched on: green heartbeat", idle, 0.0, kiosk.lately)


def restart(kiosk: Kiosk, report: Report) -> None:
    """An ordinary restart with everything in place."""
    begin = kiosk.systemctl("restart").began
    active = kiosk.wait_active(begin, START_S)
    since = None if active is None else active - begin
    report.add("restart: READY", active is not None, since, kiosk.show("StatusText"))
    idle = kiosk.wait_shown(Signal.IDLE, begin, LIGHT_S)
    report.timed("restart: green heartbeat", idle, begin, kiosk.lately)
    kiosk.machine.listen(2.0)
    status = kiosk.show("StatusText")
    told = status.startswith(Signal.IDLE.value) and "frames per second" in status
    report.add("STATUS tells the signal and frames per second", told, detail=status)


def confinement(kiosk: Kiosk, report: Report) -> None:
    """What the running service may do, by systemd's measure and by the kernel's."""
    judged = kiosk.machine.call("systemd-analyze", "security", "--no-pager", "mask-kiosk").output
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", judged)
    exposure = float(found.group(1)) if found else None
    passed = exposure is not None and exposure <= EXPOSURE_LIMIT
    report.add(
        f"systemd-analyze security: exposure at most {EXPOSURE_LIMIT}", passed, None, exposure
    )
    fields = kiosk.machine.must("cat", f"/proc/{kiosk.pid()}/status").output
    status = dict(line.split(":\t", 1) for line in fields.splitlines() if ":\t" in line)
    report.add(
        "the process is no root, has no capabilities and cannot get any",
        status["Uid"].split()[0] != "0"
        and all(int(status[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapBnd"))
        and status["NoNewPrivs"].strip() == "1",
        detail=f"uid {status['Uid'].split()[0]}, CapBnd {status['CapBnd'].strip()}",
    )


def devices(kiosk: Kiosk, report: Report) -> None:
    """What the unit lets even root open: pins, cameras and their memory, and no disk."""
    opened = kiosk.machine.must("python3", "-c", OPEN, UNIT, *ALLOWED, *REFUSED).output.split()
    what = "the unit opens pins, cameras and their memory, and no other device"
    report.add(what, tuple(opened) == ALLOWED, None, f"opened: {' '.join(opened)}")


def killed(kiosk: Kiosk, report: Report) -> None:
    """The main process is killed: kill -9."""
    before = kiosk.pid()
    begin = kiosk.signal("KILL").began
    active = kiosk.wait_active(begin, START_S)
    since = None if active is None else active - begin
    after = kiosk.pid()
    report.add("kill -9: restarted", active is not None and after not in (0, before), since)
    idle = kiosk.wait_shown(Signal.IDLE, begin, LIGHT_S)
    report.timed("kill -9: green heartbeat again", idle, begin, kiosk.lately)


def hung(kiosk: Kiosk, report: Report) -> None:
    """A process that stands still is killed by the watchdog."""
    watch = kiosk.show("WatchdogUSec")
    limit = _seconds(watch)
    report.add("a watchdog is set", limit > 0, detail=f"WatchdogSec {watch}")
    if limit == 0:
        return

    def found() -> list[Line]:
        lines = kiosk.log(begin, of_systemd=True)
        return [line for line in lines if "Watchdog timeout" in line.text]

    begin = kiosk.signal("STOP").began
    kiosk.machine.listen(limit - 1)
    kiosk.wait(lambda: bool(found()), LIGHT_S)
    took = found()[0].time - begin if found() else None
    passed = took is not None and took <= limit + WATCH_SLACK_S
    report.add("hang: found by the watchdog within WatchdogSec", passed, took)
    active = kiosk.wait_active(begin, START_S)
    since = None if active is None else active - begin
    report.add("hang: restarted", active is not None, since)
    idle = kiosk.wait_shown(Signal.IDLE, active or begin, LIGHT_S)
    report.timed("hang: green heartbeat again", idle, begin, kiosk.lately)


def second_instance(kiosk: Kiosk, report: Report) -> None:
    """Somebody starts the kiosk by hand beside the service."""
    before = kiosk.pid()
    by_hand = kiosk.machine.call(
        "setpriv", "--reuid=mask-kiosk", "--regid=mask-kiosk", "--init-groups",
        "env", "--chdir=/tmp", "LG_WD=/tmp", "PYTHONPATH=/opt/mask-kiosk",
        "/opt/mask-kiosk/.venv/bin/python", "-m", "edge_app", "run", "--settings", SETTINGS,
        timeout=20,
    )  # fmt: skip
    lines = by_hand.output.strip().splitlines()
    report.add(
        "a second kiosk by hand: refused with one line",
        by_hand.code > 0 and len(lines) == 1,
        by_hand.ended - by_hand.began,
        f"exit code {by_hand.code}: {by_hand.output}",
    )
    idle = kiosk.wait_shown(Signal.IDLE, by_hand.ended, LIGHT_S)
    report.add(
        "a second kiosk by hand: the first goes on",
        kiosk.pid() == before and idle is not None,
        detail=kiosk.lately(),
    )


def reloaded(kiosk: Kiosk, report: Report) -> None:
    """New settings without a restart; wrong ones are not taken."""
    before = kiosk.pid()
    good = kiosk.settings() + "[indicator]\namber = 22\ngreen = 27\n"
    kiosk.settle(good)
    asked = kiosk.systemctl("reload")
    new = kiosk.wait_shown(Signal.IDLE, asked.began, LIGHT_S, swapped=True)
    # Longer than TimeoutStopSec: systemd must not believe that the kiosk is ending.
    kiosk.machine.listen(RELOAD_QUIET_S)
    late = kiosk.wait_shown(Signal.IDLE, kiosk.now(), LIGHT_S, swapped=True)
    said = " | ".join(line.text for line in kiosk.log(asked.began))
    since = None if new is None else new - asked.began
    detail = f"exit code {asked.code} {asked.output}, kiosk: {said}"
    taken = asked.code == 0 and new is not None
    report.add("reload: the new settings hold (lamps swapped)", taken, since, detail)
    passed = taken and late is not None and kiosk.pid() == before
    said = " | ".join(line.text for line in kiosk.log(asked.began, of_systemd=True))
    report.add("reload: the same process goes on", passed, None, f"systemd: {said}")

    before = kiosk.pid()
    kiosk.settle(good + WRONG)
    asked = kiosk.systemctl("reload")
    late = kiosk.wait_shown(Signal.IDLE, asked.ended, LIGHT_S, swapped=True)
    said = " | ".join(line.text for line in kiosk.log(asked.began))
    passed = late is not None and kiosk.pid() == before and "polcy" in said
    detail = f"exit code {asked.code} {asked.output}, kiosk: {said}"
    report.add("reload with a typo: the old settings stay, and it says so", passed, None, detail)


def stopped(kiosk: Kiosk, report: Report) -> None:
    """An ordinary stop."""
    asked = kiosk.systemctl("stop")
    # Not the whole of "stop": what ExecStopPost= does comes after the kiosk has ended.
    took = kiosk.moment("ExecMainExit") - asked.began
    kiosk.machine.listen(HEARTBEAT_S)
    dark = kiosk.wait_dark(asked.began, STOP_S)
    report.timed("stop: all lamps dark", dark, asked.began, kiosk.lately, STOP_S)
    seen = kiosk.shows("ActiveState", "Result", "ExecMainStatus")
    clean = seen == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    detail = f"systemctl came back after {asked.ended - asked.began:.1f} s"
    passed = clean and took <= STOP_S
    report.add("stop: the kiosk ends with exit code 0", passed, took, f"{detail}, {seen}")


def wrong_settings(kiosk: Kiosk, report: Report) -> None:
    """A typo in the settings: one line for a person, no restart loop."""
    kiosk.systemctl("stop")
    kiosk.systemctl("reset-failed")
    kiosk.settle(kiosk.settings() + WRONG)
    begin = kiosk.systemctl("start").began
    kiosk.machine.listen(QUIET_S)
    seen = kiosk.shows("ActiveState", "ExecMainStatus", "NRestarts")
    ended = kiosk.moment("ExecMainExit")
    report.add(
        "wrong settings: exit code 2, no restart",
        seen == {"ActiveState": "failed", "ExecMainStatus": "2", "NRestarts": "0"},
        ended - begin,
        seen,
    )
    said = [line.text for line in kiosk.log(begin)]
    passed = len(said) == 1 and "polcy" in said[0]
    report.add("wrong settings: one line in the journal", passed, None, " | ".join(said))
    kiosk.settle(kiosk.settings())
    kiosk.systemctl("reset-failed")
    begin = kiosk.systemctl("start").began
    idle = kiosk.wait_shown(Signal.IDLE, begin, START_S)
    report.timed("settings put right: green heartbeat", idle, begin, kiosk.lately)


def power_cut(kiosk: Kiosk, report: Report) -> None:
    """The power goes away while the kiosk writes, and comes back."""
    has_journal = kiosk.machine.call("test", "-e", STATE).code == 0
    before = _journal(kiosk) if has_journal else ""
    begin = kiosk.unplug()  # a change of the signal, to be written down
    kiosk.wait_shown(Signal.FAULT, begin, LIGHT_S)
    kiosk.machine.cut()
    kiosk.machine.start()
    active = kiosk.wait_active(0.0, START_S)
    report.add("power cut: active again by itself", active is not None, active)
    idle = kiosk.wait_shown(Signal.IDLE, 0.0, LIGHT_S)
    report.timed("power cut: green heartbeat again", idle, 0.0, kiosk.lately)
    if not has_journal:
        report.add("power cut: the event journal is whole", None, None, f"no {STATE}")
        return
    after = _journal(kiosk)
    whole = after.startswith("ok ") and int(after.split()[1]) >= int(before.split()[1])
    detail = f"integrity and rows before: {before}, after: {after}"
    report.add("power cut: the event journal is whole", whole, None, detail)


def _seconds(span: str) -> float:
    """A span of time as systemd writes it, e.g. ``1min 30s``."""
    units = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6}
    parts = re.findall(r"([0-9.]+)(h|min|ms|us|s)\b", span)
    return sum(float(number) * units[unit] for number, unit in parts)


def _journal(kiosk: Kiosk) -> str:
    return kiosk.machine.must("python3", "-c", WHOLE, STATE).output.strip()
