#!/usr/bin/python3
"""A stand-in for systemd and its systemctl, for one unit in a chroot.

It runs the unit file's own commands (without its sandbox, as root), listens to what the kiosk tells
(READY, STATUS) and starts it again when it ends. The real systemd is tested in deploy/rig.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

UNIT = Path("/etc/systemd/system/mask-kiosk.service")
FOLDER = Path("/run/stand-in")
STATE = FOLDER / "state.json"
RESTART_S = 1.0
IDLE = {
    "ActiveState": "inactive",
    "MainPID": "0",
    "NRestarts": "0",
    "StatusText": "",
    "RestrictAddressFamilies": "AF_UNIX AF_NETLINK AF_INET",
}


def state() -> dict[str, str]:
    """What the supervisor wrote last."""
    told = json.loads(STATE.read_text()) if STATE.exists() else {}
    return {**IDLE, **told, "LoadState": "loaded" if UNIT.exists() else "not-found"}


def write(**changes: str) -> None:
    new = STATE.with_suffix(".new")
    new.write_text(json.dumps({**state(), **changes}))
    new.replace(STATE)


def lines(key: str) -> list[str]:
    """The unit's settings of one name."""
    found = [line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line]
    return [value for name, value in found if name == key]


def environment() -> dict[str, str]:
    words = [word for line in lines("Environment") for word in shlex.split(line)]
    for name in lines("EnvironmentFile"):
        path = Path(name.removeprefix("-"))
        if path.exists():
            words += [w for w in path.read_text().splitlines() if "=" in w and w[0] != "#"]
    return {**os.environ, **dict(word.split("=", 1) for word in words)}


def run_all(key: str) -> None:
    """ExecStartPre and ExecStartPost; prefixes of systemd's (-, +) mean nothing here."""
    for line in lines(key):
        subprocess.run(shlex.split(line.lstrip("-+!@")), env=environment(), check=False)


def supervise() -> None:
    """Be systemd for the one unit, until SIGTERM."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    # Held as long as this process lives: `stop` waits for it.
    lock = (FOLDER / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    (FOLDER / "pid").write_text(str(os.getpid()))
    address = FOLDER / "notify"
    address.unlink(missing_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(address))
    notify.settimeout(0.1)
    restarts = 0
    while not stopping:
        write(ActiveState="activating", MainPID="0", StatusText="", NRestarts=str(restarts))
        run_all("ExecStartPre")
        with (FOLDER / "log").open("ab") as log:
            process = subprocess.Popen(
                shlex.split(lines("ExecStart")[0]),
                env={**environment(), "NOTIFY_SOCKET": str(address)},
                stdout=log,
                stderr=log,
            )
        write(MainPID=str(process.pid))
        while process.poll() is None:
            if stopping:
                process.terminate()
                process.wait()
                break
            try:
                told = notify.recv(4096).decode()
            except TimeoutError:
                continue
            if told.startswith("STATUS="):
                write(StatusText=told.removeprefix("STATUS="))
            elif told == "READY=1":
                write(ActiveState="active")
                run_all("ExecStartPost")
        if process.returncode == 2 and not stopping:
            write(ActiveState="failed", MainPID="0")
            return
        restarts += 1
        time.sleep(0 if stopping else RESTART_S)
    write(ActiveState="inactive", MainPID="0")


def start() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    if state()["ActiveState"] in ("inactive", "failed"):
        write(ActiveState="activating")
        subprocess.Popen(
            [sys.argv[0], "supervise"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def stop() -> None:
    if state()["ActiveState"] in ("inactive", "failed"):
        write(ActiveState="inactive")
        return
    os.kill(int((FOLDER / "pid").read_text()), signal.SIGTERM)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def wait_until_active() -> int:
    """Without --no-block a start waits for READY."""
    while (now := state()["ActiveState"]) == "activating":
        time.sleep(0.1)
    return 0 if now == "active" else 1


def main(arguments: list[str]) -> int:
    options = [word for word in arguments if word.startswith("-")]
    command = next(word for word in arguments if not word.startswith("-"))
    FOLDER.mkdir(parents=True, exist_ok=True)
    if command == "supervise":
        supervise()
    elif command == "show":
        asked = [o.split("=", 1)[1] for o in options if o.startswith("--property=")]
        for name in ",".join(asked).split(","):
            value = state().get(name, "")
            print(value if "--value" in options else f"{name}={value}")
    elif command == "is-active":
        return 0 if state()["ActiveState"] == "active" else 3
    elif command in ("is-enabled", "enable", "disable", "daemon-reload"):
        return 0
    elif command == "reset-failed":
        if state()["ActiveState"] == "failed":
            write(ActiveState="inactive")
    elif command in ("start", "stop", "restart"):
        if command != "start":
            stop()
        if command != "stop":
            start()
        if command != "stop" and "--no-block" not in options:
            return wait_until_active()
    else:
        print(f"systemctl stand-in: {command} is not known", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
