"""What the rig looks at first and last: the real install.sh, offline, and the Debian package."""

from __future__ import annotations

import base64
import gzip

from edge_app.domain import Signal
from kiosk import HOME, LIGHT_S, PICAMERA, START_S, STATE_FOLDER, Kiosk
from machine import Reply
from report import Report

INSTALL = "/rig/bundle/install.sh"
PACKAGE = "/rig/package.deb"
INSTALLER = f"{HOME}/deploy/install.sh"
INSTALL_S = 240.0
"""An installation takes half a minute; so long on a busy machine."""

HALF = "ls /opt/mask-kiosk-releases/*/.venv/bin/python"
"""True as soon as the virtual environment is being made."""

CUT = "setsid --wait sh -c 'echo $$ >/run/rig-install; exec \"$0\"' "

BROKEN_S = 60.0
"""So soon after it began to take over, a broken release must have given way to the one before."""

NOT_LISTED = (
    "/tmp",  # noqa: S108 - only a name # nosec B108
    "/var/tmp",  # noqa: S108 - only a name # nosec B108
    "/var/log/journal",
    "/var/lib/systemd",
    "/var/lib/dpkg",
    "/var/log/dpkg.log",
    # Whoever makes or removes a user leaves a copy of the list before.
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/group-",
    "/etc/gshadow-",
)
"""What the system itself changes all the time."""

FILES = (
    f"find / -xdev \\( {' -o '.join(f'-path {path}' for path in NOT_LISTED)} \\) -prune "
    "-o ! -type d -printf '%M %U:%G %s %p\\n' -o -type d -printf '%M %U:%G %p\\n' | sort -k 3"
)
"""Every other file of the device."""


def installed(kiosk: Kiosk, report: Report) -> None:
    """The installer on a new device."""
    done = kiosk.machine.call(INSTALL, timeout=INSTALL_S)
    detail = f"exit code {done.code}: {_last(done.output)}"
    report.add("install.sh: completes", done.code == 0, done.ended - done.began, detail)
    if done.code:
        report.tell(done.output.splitlines())


def interrupted(kiosk: Kiosk, report: Report) -> None:
    """The installer is killed in the middle and run again."""
    machine = kiosk.machine
    kiosk.settle(kiosk.settings(PICAMERA))
    first = machine.send("sh", "-c", CUT + INSTALL, timeout=INSTALL_S)
    half = kiosk.wait(lambda: machine.call("sh", "-c", HALF).code == 0, INSTALL_S)
    machine.must("sh", "-c", "kill -9 -$(cat /run/rig-install)")
    cut = machine.reply(first, INSTALL_S)
    used = machine.call("test", "-e", HOME).code == 0
    detail = f"its last words: {_last(cut.output)}"
    report.add(
        "install.sh killed in the middle: nothing half in use", half and not used, None, detail
    )
    again = machine.call(INSTALL, timeout=INSTALL_S)
    took = again.ended - again.began
    detail = f"exit code {again.code}: {_last(again.output)}"
    report.add("install.sh run again: completes", again.code == 0, took, detail)
    if again.code:
        report.tell(again.output.splitlines())


def picamera(kiosk: Kiosk, report: Report) -> None:
    """Installed with Picamera2 as its camera, in the unit with all its locks."""
    active = kiosk.wait_active(0.0, START_S)
    idle = kiosk.wait_shown(Signal.IDLE, active or kiosk.now(), LIGHT_S)
    kiosk.wait(lambda: "frames per second" in kiosk.show("StatusText"), LIGHT_S)
    status = kiosk.show("StatusText")
    passed = active is not None and idle is not None and "frames per second" in status
    said = status if passed else kiosk.lately()
    report.add("Picamera2 on a libcamera camera: READY, green heartbeat", passed, None, said)


def repeated(kiosk: Kiosk, report: Report) -> None:
    """The installer is run on an installed kiosk."""
    before = kiosk.pid()
    again = kiosk.machine.call(INSTALL, timeout=INSTALL_S)
    did = [line for line in again.output.splitlines() if line.startswith(("installed", "building"))]
    passed = again.code == 0 and not did and kiosk.pid() == before
    detail = f"exit code {again.code}: {' | '.join(did) or _last(again.output)}"
    what = "install.sh a second time: nothing to do, the same process goes on"
    report.add(what, passed, again.ended - again.began, detail)


def upgraded(kiosk: Kiosk, report: Report) -> None:
    """The next release does not stay up."""
    link = kiosk.machine.must("readlink", HOME).output
    upgrade = kiosk.machine.call("/rig/broken/install.sh", timeout=INSTALL_S)
    idle = kiosk.wait_shown(Signal.IDLE, upgrade.ended - LIGHT_S, LIGHT_S)
    same = kiosk.machine.must("readlink", HOME).output == link
    back = "rolled back" in _last(upgrade.output)
    lines = kiosk.log(upgrade.began, of_systemd=True)
    stops = [line.time for line in lines if line.text.startswith("Stopping")]
    gone = kiosk.moment("ActiveEnter") - stops[0] if stops else None
    passed = upgrade.code == 1 and back and same and idle is not None
    detail = f"exit code {upgrade.code}: {_last(upgrade.output)}"
    report.add("upgrade to a broken release: the one before runs again", passed, gone, detail)
    quick = gone is not None and gone <= BROKEN_S
    what = f"upgrade to a broken release: no more than {BROKEN_S:g} s without a kiosk"
    report.add(what, quick, gone)


def packaged(kiosk: Kiosk, report: Report) -> None:
    """The Debian package takes the place of what install.sh has installed."""
    kiosk.settle(kiosk.settings())
    done = kiosk.machine.call("dpkg", "-i", PACKAGE, timeout=INSTALL_S)
    idle = kiosk.wait_shown(Signal.IDLE, done.ended - LIGHT_S, LIGHT_S)
    unit = kiosk.show("FragmentPath")
    passed = done.code == 0 and unit.startswith("/usr/lib/systemd/") and idle is not None
    detail = f"exit code {done.code}, unit: {unit}"
    what = "the Debian package after install.sh: its unit runs, green heartbeat"
    report.add(what, passed, done.ended - done.began, detail if passed else kiosk.lately())
    if done.code:
        report.tell(done.output.splitlines())


def purged(kiosk: Kiosk, report: Report) -> None:
    """The package is removed."""
    done = kiosk.machine.call("dpkg", "--purge", "mask-kiosk", timeout=INSTALL_S)
    _only_the_journal(kiosk, report, "dpkg --purge", done)


def uninstalled(kiosk: Kiosk, report: Report) -> None:
    """Everything is removed."""
    done = kiosk.machine.call(INSTALLER, "--uninstall", timeout=INSTALL_S)
    _only_the_journal(kiosk, report, "--uninstall", done)


def _only_the_journal(kiosk: Kiosk, report: Report, what: str, done: Reply) -> None:
    before = set((kiosk.machine.share / "files-before").read_text(encoding="utf-8").splitlines())
    after = set(_files(kiosk, "files-after").splitlines())
    left = sorted(_path(line) for line in after - before)
    lost = sorted(_path(line) for line in before - after)
    journal = {STATE_FOLDER, f"{STATE_FOLDER}/events.sqlite3"}
    passed = done.code == 0 and set(left) == journal and not lost
    took = done.ended - done.began
    report.add(f"{what}: exit code 0", done.code == 0, took, _last(done.output))
    detail = f"of {len(after)} files and folders, new or changed: {' '.join(left) or 'none'}; "
    detail += f"gone: {' '.join(lost) or 'none'}"
    report.add(f"{what}: nothing is left but the journal", passed, None, detail)


def list_files(kiosk: Kiosk) -> None:
    """Note all files of the device, to see later what is left."""
    _files(kiosk, "files-before")


def _files(kiosk: Kiosk, name: str) -> str:
    packed = kiosk.machine.must("sh", "-c", f"{FILES} | gzip | base64 --wrap=0").output
    files = gzip.decompress(base64.b64decode(packed)).decode()
    (kiosk.machine.share / name).write_text(files, encoding="utf-8")
    return files


def _last(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1] if lines else ""


def _path(line: str) -> str:
    return line[line.index(" /") + 1 :]
