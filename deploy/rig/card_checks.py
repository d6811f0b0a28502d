"""What the rig looks at on a card: the first start, with cloud-init and a power cut amid it."""

from __future__ import annotations

from card import SECRET, SECRET_NAME
from edge_app.domain import Signal
from install_checks import HALF, INSTALL_S
from kiosk import LIGHT_S, START_S, Kiosk
from report import Report

BOOT = "/boot/firmware"
CARD = f"{BOOT}/mask-kiosk"
RESULT = f"{CARD}/RESULT.txt"
SECRET_FILE = f"/etc/mask-kiosk/{SECRET_NAME}"
FIRST_BOOT = "mask-kiosk-first-boot.service"
FAT = "/dev/ubdb"
CLOUD_S = 60.0
"""cloud-init takes some seconds, more on a busy machine."""


def first_start(kiosk: Kiosk, report: Report) -> None:
    """cloud-init takes the card's file, which starts the installation; nobody waits for it."""
    begun = kiosk.wait(lambda: _result(kiosk).startswith("INSTALLING"), START_S)
    report.add(
        "cloud-init runs the card's file: the installation begins", begun, None, _said(kiosk)
    )
    ended = kiosk.machine.call("cloud-init", "status", "--long", "--wait", timeout=CLOUD_S)
    state = _state(kiosk)
    # 2: it did its work, and something was not as it wished.
    passed = ended.code in (0, 2) and "done" in ended.output and state == "active"
    detail = f"{ended.output.strip()} ({ended.code}), the installation is {state}"
    report.add("cloud-init ends while the installation goes on", passed, ended.ended, detail)
    name = kiosk.machine.must("hostname").output.strip()
    report.add("what Imager wrote holds: the host's name", name == "front-door", None, name)


def cut(kiosk: Kiosk, report: Report) -> None:
    """The power fails while the application is half installed, and comes back."""
    machine = kiosk.machine
    half = kiosk.wait(lambda: machine.call("sh", "-c", HALF).code == 0, INSTALL_S)
    going = _state(kiosk) == "active"
    machine.cut()
    machine.start()
    again = kiosk.wait(lambda: "attempt 2 of 5" in _result(kiosk), START_S)
    passed = half and going and again
    report.add("power cut in the middle: the next start goes on", passed, None, _said(kiosk))


def completed(kiosk: Kiosk, report: Report) -> None:
    """The second attempt ends well, and cleans the card."""
    begin = kiosk.now()
    done = kiosk.wait(lambda: _gone(kiosk), INSTALL_S)
    said = _said(kiosk)
    passed = done and said.startswith("INSTALLED version") and "The light is on" in said
    report.add("the installation completes", passed, kiosk.now() - begin, said)
    idle = kiosk.wait_shown(Signal.IDLE, begin, LIGHT_S, swapped=True)
    report.timed("green heartbeat, with the card's settings", idle, begin, kiosk.lately)
    left = kiosk.machine.must("ls", "-A", CARD).output.split()
    hook = kiosk.machine.call("test", "-e", f"{BOOT}/vendor-data").code == 0
    detail = f"in mask-kiosk: {' '.join(left)}"
    report.add(
        "of ours only the result is left on the card",
        left == ["RESULT.txt"] and not hook,
        None,
        detail,
    )
    secret = kiosk.machine.call("cat", SECRET_FILE).output
    of = kiosk.machine.call("stat", "--format=%U %a", SECRET_FILE).output.strip()
    passed = secret == SECRET and of == "mask-kiosk 600"
    report.add("the card's secret is in /etc, the kiosk's alone", passed, None, of)


def next_start(kiosk: Kiosk, report: Report) -> None:
    """The power is cut once more: from now on it is a kiosk as any other."""
    machine = kiosk.machine
    before = _result(kiosk)
    machine.cut()
    machine.start()
    active = kiosk.wait_active(0.0, START_S)
    report.timed("the next start: READY by itself", active, 0.0, kiosk.lately)
    idle = kiosk.wait_shown(Signal.IDLE, active or kiosk.now(), LIGHT_S, swapped=True)
    report.timed("the next start: green heartbeat", idle, 0.0, kiosk.lately)
    same = _result(kiosk) == before and _gone(kiosk)
    report.add("the next start: nothing is installed again", same, None, _said(kiosk))
    listed = ("systemctl", "list-units", "--failed", "--plain", "--no-legend", "--all")
    failed = machine.must(*listed).output.splitlines()
    names = " ".join(line.split()[0] for line in failed)
    report.add("no unit has failed", not names, None, names)
    machine.must("umount", BOOT)
    whole = machine.call("fsck.vfat", "-n", FAT)
    report.add("the card's file system is whole", whole.code == 0, None, whole.output)


def _result(kiosk: Kiosk) -> str:
    reply = kiosk.machine.call("cat", RESULT)
    return reply.output.strip() if reply.code == 0 else ""


def _said(kiosk: Kiosk) -> str:
    return _result(kiosk) or "no RESULT.txt"


def _state(kiosk: Kiosk) -> str:
    return kiosk.machine.call("systemctl", "is-active", FIRST_BOOT).output.strip()


def _gone(kiosk: Kiosk) -> bool:
    return kiosk.machine.call("test", "-e", f"{CARD}/first-boot.sh").code != 0
