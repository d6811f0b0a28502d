"""What the shipped unit allows, judged by systemd's own tools, and that the kiosk lives with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = "mask-kiosk.service"
MOST_EXPOSED = 2.0
"""Of 10, as ``systemd-analyze security`` rates."""

MUST_HAVE = {
    "Type": "notify",
    "NotifyAccess": "main",
    "WatchdogSec": "10",
    "Restart": "always",
    "RestartPreventExitStatus": "2",
    "StartLimitIntervalSec": "0",
    "User": "mask-kiosk",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "NoNewPrivileges": "yes",
    "PrivateUsers": "yes",
    "UMask": "0077",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "StateDirectoryMode": "0700",
    "RuntimeDirectoryMode": "0700",
    "DevicePolicy": "closed",
    "IPAddressDeny": "any",
    "RestrictAddressFamilies": "AF_UNIX AF_NETLINK",
    "ProtectProc": "invisible",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "SystemCallArchitectures": "native",
    "MemoryDenyWriteExecute": "yes",
    "MemoryMax": "256M",
    "MemorySwapMax": "0",
    "LimitCORE": "0",
}

BOOT = "-+/opt/mask-kiosk/.venv/bin/python -m edge_app.store.boot"
MUST_HAVE |= {
    # Without them an installed model that keeps the kiosk from its work would stay.
    "ExecStartPre": f"{BOOT} before-start",
    "ExecStartPost": f"{BOOT} ready",
}

PROBE = """\
import ctypes, errno, mmap, socket
libc = ctypes.CDLL(None, use_errno=True)

def refused(number, call):
    try:
        call()
    except OSError as error:
        return error.errno == number
    return False

def c(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

assert refused(errno.EAFNOSUPPORT, lambda: socket.socket(socket.AF_INET))
assert refused(errno.EAFNOSUPPORT, lambda: socket.socket(socket.AF_INET6))
assert refused(errno.EAFNOSUPPORT, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
assert refused(errno.EPERM, lambda: mmap.mmap(-1, 4096, prot=7))
assert refused(errno.EPERM, lambda: c(libc.unshare, 0x10000000))
assert refused(errno.EPERM, lambda: c(libc.mount, None, b"/tmp", b"tmpfs", 0, None))
assert refused(errno.EPERM, lambda: c(libc.ptrace, 16, 1, 0, 0))
socket.socket(socket.AF_UNIX).close()
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15).close()
with open("/proc/self/status") as status:
    assert "CapEff:\\t0000000000000000" in status.read()
callback = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)
assert callback() == 7, "libffi needs memory that is executable"
"""


@pytest.fixture
def systemd(tmp_path: Path, root: Path) -> Path:
    """A folder with the unit, to be checked without the program that is not installed here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (package systemd)")
    text = (root / "systemd" / UNIT).read_text(encoding="utf-8")
    text = re.sub(r"^(Exec(?:Start|StopPost)\w*)=.*", r"\1=/bin/true", text, flags=re.MULTILINE)
    (tmp_path / UNIT).write_text(text, encoding="utf-8")
    return tmp_path


def add_network(systemd: Path, root: Path) -> None:
    (systemd / f"{UNIT}.d").mkdir()
    shutil.copy(root / "systemd" / "network.conf", systemd / f"{UNIT}.d")


def analyze(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def exposed(unit: Path) -> list[str]:
    """What the tool marks as allowing more than it could, without details."""
    rated = json.loads(analyze("security", "--offline=true", "--json=short", unit))
    return [one["name"] for one in rated if one["exposure"] is not None]


@pytest.mark.parametrize("network", [False, True])
def test_systemd_takes_the_unit_and_rates_it_as_safe(
    systemd: Path, root: Path, network: bool
) -> None:
    if network:
        add_network(systemd, root)
    assert analyze("verify", "--recursive-errors=yes", systemd / UNIT) == ""
    told = analyze("security", "--offline=true", systemd / UNIT)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert found is not None, told
    assert float(found[1]) <= MOST_EXPOSED


def test_an_unknown_line_does_not_pass(systemd: Path) -> None:
    with (systemd / UNIT).open("a", encoding="utf-8") as unit:
        unit.write("[Service]\nProtectEverything=yes\n")
    with pytest.raises(AssertionError, match="ProtectEverything"):
        analyze("verify", "--recursive-errors=yes", systemd / UNIT)


def test_no_protection_was_lost(root: Path) -> None:
    text = (root / "systemd" / UNIT).read_text(encoding="utf-8")
    lines = [line.partition("=") for line in text.splitlines() if not line.startswith("#")]
    told = {name: value for name, _, value in lines}
    assert {name: told.get(name) for name in MUST_HAVE} == MUST_HAVE


@pytest.mark.parametrize("file", [UNIT, "network.conf"])
def test_whatever_is_relaxed_says_why(systemd: Path, root: Path, file: str) -> None:
    """Right above its line, in a comment that begins with "Relaxed"; or naming it, if unset."""
    before = set(exposed(systemd / UNIT))
    relaxed = before
    if file != UNIT:
        add_network(systemd, root)
        relaxed = set(exposed(systemd / UNIT)) - before
    assert relaxed
    lines = (root / "systemd" / file).read_text(encoding="utf-8").splitlines()
    for name in {re.split("[=/]", one)[0] for one in relaxed}:
        # What an address filter lets through is a directive of its own.
        name = "IPAddressAllow" if name == "IPAddressDeny" else name
        at = [i for i, line in enumerate(lines) if line.startswith(f"{name}=")]
        if not at:
            assert any(line.startswith(f"# Relaxed: {name}= ") for line in lines), name
        for number in at:
            assert "# Relaxed" in comment_above(lines, number, name), lines[number]


def comment_above(lines: list[str], number: int, name: str) -> str:
    """The comment of a line, or of the lines that it stands together with."""
    while number and not lines[number].startswith("#"):
        assert lines[number], f"{name}: no comment above"
        number -= 1
    comment = []
    while lines[number].startswith("#"):
        comment.append(lines[number])
        number -= 1
    return "\n".join(reversed(comment))


def inside(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python under the system call rules of the shipped unit."""
    entry = [sys.executable, root / "tests/integration/in_the_unit.py", root / "systemd" / UNIT]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [*entry, sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env=environment,
    )


def test_the_rules_are_really_set(systemd: Path, root: Path) -> None:
    done = inside(root, "-c", PROBE)
    assert done.returncode == 0, done.stderr


def test_the_models_see_the_same_under_the_rules(systemd: Path, root: Path) -> None:
    """XNNPACK, OpenCV, numpy and FFmpeg with no memory both written and executed, no network."""
    clip = root / "edge_app/assets/demo.mp4"
    command = ("-m", "edge_app", "replay", str(clip))
    done = inside(root, *command)
    assert done.returncode == 0, done.stderr
    free = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=True, cwd=root
    )
    assert timeline(done.stdout) == timeline(free.stdout)
    assert "COMPLIANT" in done.stdout


def timeline(printed: str) -> list[str]:
    """The lines of the timeline, which hold no measured times."""
    return re.findall(r"^ *[\d.]+ - .*", printed, re.MULTILINE)


def test_the_kiosk_runs_under_the_rules(systemd: Path, root: Path) -> None:
    clip = root / "edge_app/assets/demo.mp4"
    done = inside(root, "-m", "edge_app", "run", "--mock-pins", "--source", str(clip))
    assert done.returncode == 0, done.stderr
    assert "COMPLIANT" in done.stderr


def test_the_user_and_its_groups_are_made(tmp_path: Path, root: Path) -> None:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("needs systemd-sysusers (package systemd)")
    (tmp_path / "etc").mkdir()
    subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", root / "systemd/sysusers.d/mask-kiosk.conf"],
        check=True,
        capture_output=True,
    )
    [user] = (tmp_path / "etc/passwd").read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"mask-kiosk:x:\d+:\d+:Face mask light:/:/usr/sbin/nologin", user)
    groups = (tmp_path / "etc/group").read_text(encoding="utf-8").splitlines()
    members = {line.split(":")[0]: line.split(":")[3] for line in groups}
    assert members == {"mask-kiosk": "", "video": "mask-kiosk", "gpio": "mask-kiosk"}
