"""Runs a command under the system call rules of a systemd unit, as systemd would set them.

python tests/integration/in_the_unit.py UNIT COMMAND...

systemd itself is not needed: the unit's lines become seccomp filters (libseccomp, which systemd
uses too), and the names of system call groups are asked of ``systemd-analyze``. Set are
``SystemCallFilter``, ``SystemCallErrorNumber``, ``RestrictAddressFamilies``,
``RestrictNamespaces``, ``MemoryDenyWriteExecute``, ``CapabilityBoundingSet`` and
``NoNewPrivileges``. Not set, because they need systemd: user, groups, devices, mounts, address
filter, memory limits.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ALLOW = 0x7FFF0000
"""SCMP_ACT_ALLOW of seccomp.h, and the two comparisons used below."""
EQUAL, MASKED_EQUAL = 4, 7

PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_SET_MDWE = 38, 24, 65
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
NAMESPACES = 0x7E020080
"""CLONE_NEW*: time, mount, cgroup, uts, ipc, user, pid and network namespaces."""

LAST_CAPABILITY = 40
ADDRESS_FAMILIES = 64
"""More than Linux has."""


class Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``: argument ``arg`` against one or two values."""

    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    ]


class Filter:
    """A seccomp filter that is set once its rules are complete."""

    def __init__(self, default: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._filter = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))

    def rule(self, action: int, call: str, *comparisons: Comparison) -> None:
        """Add one; names that this processor does not have are left out, as systemd does."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array = (Comparison * len(comparisons))(*comparisons)
        done = self._library.seccomp_rule_add_array(
            self._filter, ctypes.c_uint32(action), number, len(comparisons), array
        )
        if done not in (0, -errno.EACCES):  # the latter: the same as the default
            raise OSError(-done, f"{call}: {os.strerror(-done)}")

    def set(self) -> None:
        done = self._library.seccomp_load(self._filter)
        if done:
            raise OSError(-done, os.strerror(-done))


def refuse(error: int) -> int:
    """SCMP_ACT_ERRNO."""
    return 0x00050000 | error


def directives(unit: Path) -> list[tuple[str, str]]:
    """The lines of a unit file, in order."""
    lines = (line.strip() for line in unit.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and line[0] not in "#[")
    return [(name, value) for name, _, value in pairs]


def call_groups() -> dict[str, list[str]]:
    """The groups that start with @, and what each holds."""
    told = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    groups: dict[str, list[str]] = {}
    for line in told.splitlines():
        if line.startswith("@"):
            groups[line.strip()] = names = []
        elif line.startswith(" ") and not line.strip().startswith("#"):
            names.append(line.strip())
    return groups


def allowed_calls(unit: Path) -> set[str]:
    """The system calls that the unit's ``SystemCallFilter`` lines leave."""
    groups = call_groups()

    def expand(names: list[str]) -> Iterator[str]:
        for name in names:
            if name.startswith("@"):
                yield from expand(groups[name])
            else:
                yield name

    allowed = set(expand(["@default"]))
    for name, value in directives(unit):
        if name == "SystemCallFilter" and value.startswith("~"):
            allowed -= set(expand(value[1:].split()))
        elif name == "SystemCallFilter":
            allowed |= set(expand(value.split()))
    return allowed


def enter(unit: Path) -> None:
    """Put this process, and all that it starts, under the unit's rules."""
    told = dict(directives(unit))
    library = ctypes.CDLL(None, use_errno=True)
    if told["CapabilityBoundingSet"] == "":
        for capability in range(LAST_CAPABILITY + 1):
            library.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if told["NoNewPrivileges"] == "yes" and library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")

    rules = Filter(ALLOW)
    families = [
        getattr(socket, family)
        for name, value in directives(unit)
        if name == "RestrictAddressFamilies"
        for family in value.split()
    ]
    for family in set(range(ADDRESS_FAMILIES)) - set(families):
        rules.rule(refuse(errno.EAFNOSUPPORT), "socket", Comparison(0, EQUAL, family))
    if told["RestrictNamespaces"] == "yes":
        for bit in (1 << n for n in range(32) if NAMESPACES >> n & 1):
            for call in ("clone", "unshare"):
                rules.rule(refuse(errno.EPERM), call, Comparison(0, MASKED_EQUAL, bit, bit))
    if told["MemoryDenyWriteExecute"] == "yes":
        library.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # kernels from 6.3 on; older ones say no
        both = PROT_WRITE | PROT_EXEC
        rules.rule(refuse(errno.EPERM), "mmap", Comparison(2, MASKED_EQUAL, both, both))
        for call in ("mprotect", "pkey_mprotect"):
            executable = Comparison(2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC)
            rules.rule(refuse(errno.EPERM), call, executable)
        rules.rule(refuse(errno.EPERM), "shmat", Comparison(2, MASKED_EQUAL, SHM_EXEC, SHM_EXEC))
    rules.set()

    calls = Filter(refuse(getattr(errno, told["SystemCallErrorNumber"])))
    for call in sorted(allowed_calls(unit)):
        calls.rule(ALLOW, call)
    calls.set()


if __name__ == "__main__":
    enter(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell, a list of arguments
