"""What the rig looks at: models that are installed after the application."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from edge_app.domain import Signal
from edge_app.store.layout import SHORT
from edge_app.store.service import HEALTHY_S
from kiosk import HOME, LIGHT_S, START_S, Kiosk
from machine import Reply, RigError
from report import Report

NAME = "face_detector"
FILES = (f"{NAME}.tflite", f"{NAME}.json", f"{NAME}.selftest.npz")

KEYS = "/etc/mask-kiosk/keys"
BUNDLES = "/root/models"
RECORD = f"/var/lib/mask-kiosk-models/active/{NAME}.json"

HUGE_BYTES = 62 << 20
"""Appended to a model: it passes its self-test, but needs more memory than the unit allows."""

SMALL_BOARD = "[Service]\nMemoryHigh=infinity\nMemoryMax=100M\n"
"""Enough for the shipped models, which leave a third of it free, and not for that one: files that
may be installed are too small to fill what the unit has otherwise."""

OVERRIDE = "/run/systemd/system/mask-kiosk.service.d/rig.conf"

MODELS_S = HEALTHY_S + 120.0
"""Patience with a command: it waits a minute for the kiosk, and another after going back."""


def prepare(models: Path, folder: Path) -> None:
    """Make unsigned bundles of the shipped detector.

    Args:
        models: The folder of the shipped models.
        folder: Gets a folder for each bundle.
    """
    for kind in ("good", "better", "huge"):
        bundle = folder / kind
        bundle.mkdir(parents=True)
        for name in FILES:
            shutil.copy(models / name, bundle)
        card = json.loads((bundle / f"{NAME}.json").read_text(encoding="utf-8"))
        card["rig"] = kind
        if kind == "huge":
            with (bundle / f"{NAME}.tflite").open("ab") as model:
                model.write(bytes(HUGE_BYTES))
            card["sha256"] = hashlib.sha256((bundle / f"{NAME}.tflite").read_bytes()).hexdigest()
        (bundle / f"{NAME}.json").write_text(json.dumps(card, indent=2), encoding="utf-8")


def updated(kiosk: Kiosk, report: Report) -> None:
    """A good model is installed while the kiosk works."""
    _deliver(kiosk)
    version = _versions(kiosk)["good"]
    done = _models(kiosk, "install", f"{BUNDLES}/good")
    status = kiosk.show("StatusText")
    active, confirmed = _active(kiosk)
    used = f"{NAME} {version}" in status and active == version and confirmed
    detail = f"exit code {done.code}: {_last(done.output)}; {status}"
    what = "models install: the kiosk works with the new model, and it is confirmed"
    report.add(what, done.code == 0 and used, done.ended - done.began, detail)


def cut(kiosk: Kiosk, report: Report) -> None:
    """The power goes away after the switch to a new model, before it is confirmed."""
    version = _versions(kiosk)["better"]
    kiosk.machine.send(*_command("install", f"{BUNDLES}/better"), timeout=MODELS_S)
    switched = kiosk.wait(lambda: _active(kiosk) == (version, False), MODELS_S)
    kiosk.machine.cut()
    report.add("models install: switched, then the power is cut", switched)
    kiosk.machine.start()
    active = kiosk.wait_active(0.0, START_S)
    idle = kiosk.wait_shown(Signal.IDLE, 0.0, LIGHT_S)
    kiosk.wait(lambda: _active(kiosk)[1], LIGHT_S)
    found, confirmed = _active(kiosk)
    status = kiosk.show("StatusText")
    passed = active is not None and idle is not None and confirmed and f"{NAME} {found}" in status
    detail = f"the {'new' if found == version else 'old'} one, {status}"
    what = "power back: a model that works counts, and is confirmed"
    report.add(what, passed, active, detail if passed else f"{detail}; {kiosk.lately()}")


def rolled_back(kiosk: Kiosk, report: Report) -> None:
    """A model that passes its self-test, but with which the service does not work."""
    _deliver(kiosk)
    kiosk.machine.must("mkdir", "-p", str(Path(OVERRIDE).parent))
    kiosk.machine.write(OVERRIDE, SMALL_BOARD)
    kiosk.machine.must("systemctl", "daemon-reload")
    before = _active(kiosk)
    version = _versions(kiosk)["huge"]
    done = _models(kiosk, "install", f"{BUNDLES}/huge")
    idle = kiosk.wait_shown(Signal.IDLE, done.ended, LIGHT_S)
    back = _active(kiosk) == before and version not in kiosk.show("StatusText")
    detail = f"exit code {done.code}: {_last(done.output)}"
    passed = done.code == 1 and "rolled back" in done.output and back and idle is not None
    what = "models install, too large for the unit: rolled back by itself, green heartbeat"
    report.add(what, passed, done.ended - done.began, detail)


def _deliver(kiosk: Kiosk) -> None:
    kiosk.machine.must("sh", "-ec", f"rm -rf {BUNDLES}; cp -r /rig/models {BUNDLES}")
    sign = f"umask 022; python3 /rig/sign.py {KEYS} {BUNDLES}/*/{NAME}.json"
    kiosk.machine.must("sh", "-ec", sign)


def _versions(kiosk: Kiosk) -> dict[str, str]:
    cards = (kiosk.machine.share / "models").glob(f"*/{NAME}.json")
    return {c.parent.name: hashlib.sha256(c.read_bytes()).hexdigest()[:SHORT] for c in cards}


def _command(*words: str) -> list[str]:
    python = f"{HOME}/.venv/bin/python"
    return ["env", f"PYTHONPATH={HOME}", python, "-m", "edge_app", "models", *words]


def _models(kiosk: Kiosk, *words: str) -> Reply:
    return kiosk.machine.call(*_command(*words), timeout=MODELS_S)


def _active(kiosk: Kiosk) -> tuple[str | None, bool]:
    """The installed version that counts, and whether it is confirmed; None: the shipped one."""
    reply = kiosk.machine.call("cat", RECORD)
    if reply.code:
        return None, False
    try:
        history = json.loads(reply.output)["history"]
    except (ValueError, KeyError) as error:
        raise RigError(f"{RECORD}: {error}") from None
    return (history[0]["version"][:SHORT], history[0]["confirmed"]) if history else (None, False)


def _last(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1] if lines else ""
