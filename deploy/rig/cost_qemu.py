"""Builds a QEMU that counts, and counts with it."""

from __future__ import annotations

import shutil
import subprocess  # lists of arguments made here, no shell # nosec B404
from collections.abc import Mapping, Sequence
from pathlib import Path

from arm64_system import (
    CHECKOUT,
    DEVICE,
    SYSTEMS,
    TIMEOUT,
    check_host,
    emulated,
    environment,
    root,
    variables,
    writing,
)
from cache import BuildError, Part
from cost_figures import parse_count
from debian import MIRROR, SUITE, chroot, debian

RECIPE = "1"
"""Part of every hash: count up when the code below makes another thing of the same inputs."""

SYSTEM = next(system for system in SYSTEMS if system.suite == "trixie")
"""The Debian whose Python the counted calls run in."""

PACKAGES = (
    "dpkg-dev",
    "gcc",
    "libc6-dev",
    "libglib2.0-dev",
    "meson",
    "ninja-build",
    "pkgconf",
    "python3-venv",
)

OPTIONS = (
    "--target-list=aarch64-linux-user",
    "--without-default-features",
    "--enable-plugins",
    "--disable-system",
    "--disable-tools",
    "--disable-docs",
    "--disable-install-blobs",
)

PLUGIN = "tests/tcg/plugins/libinsn.so"
LOADER = "ld-linux-x86-64.so.2"


def counter() -> Part:
    """QEMU's user mode for arm64 with the plugin that counts, and the libraries of both."""
    return Part("counter", "qemu", (RECIPE, MIRROR, SUITE, *PACKAGES, *OPTIONS), _make)


class Counter:
    """Counts the instructions of an emulated Python, from its start to its end.

    Args:
        folder: Takes what it needs for that; empty.
    """

    def __init__(self, folder: Path) -> None:
        self._base, self._venv = root(SYSTEM).built(), environment(SYSTEM, DEVICE).built()
        self._tools = counter().built()
        self._folder, self._compiled = folder, folder / "compiled"

    def version(self) -> str:
        """QEMU's version."""
        return self._run([*self._qemu(), "--version"], {}).split()[2]

    def prepare(self, core: str, words: Sequence[str]) -> str:
        """Run once without counting: modules are compiled, and the counted runs find them so.

        Returns:
            What the run printed.
        """
        command = emulated(self._base, core, self._python, words, self._qemu())
        return self._run(command, writing(self._compiled))

    def count(self, core: str, words: Sequence[str]) -> int:
        """Instructions of one run.

        Args:
            core: The processor to emulate.
            words: Python's arguments.

        Raises:
            BuildError: It failed.
        """
        plugin = f"{self._tools / Path(PLUGIN).name},inline=on"
        log = self._folder / f"{core}.log"
        qemu = [*self._qemu(), "-plugin", plugin, "-d", "plugin", "-D", str(log)]
        command = emulated(self._base, core, self._python, words, qemu)
        self._run(command, {"PYTHONPYCACHEPREFIX": str(self._compiled)})
        return parse_count(log.read_text(encoding="utf-8"))

    @property
    def _python(self) -> Path:
        return self._venv / "bin" / "python"

    def _qemu(self) -> list[str]:
        # The same addresses in every run, or hash tables of pointers would take other ways.
        still = ["setarch", "x86_64", "--addr-no-randomize"]
        libraries = ["--library-path", str(self._tools)]
        return [*still, str(self._tools / LOADER), *libraries, str(self._tools / "qemu-aarch64")]

    def _run(self, command: Sequence[str], extra: Mapping[str, str]) -> str:
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        run = subprocess.run(  # a list of arguments made here, no shell # nosec B603
            command,
            env=variables({"PYTHONPATH": str(CHECKOUT), **threads, **extra}),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if run.returncode:
            last = " / ".join(run.stderr.splitlines()[-3:])
            raise BuildError(f"{' '.join(command)} failed with {run.returncode}: {last}")
        return run.stdout.strip()


def _make(work: Path, log: Path) -> None:
    check_host()
    system = debian(work / "debian", PACKAGES, log)
    (system / "etc/apt/sources.list").write_text(f"deb-src {MIRROR} {SUITE} main\n")
    shutil.copy("/etc/resolv.conf", system / "etc/resolv.conf")
    steps = (
        "mkdir /src",
        "cd /src",
        "apt-get update -q",
        "apt-get source -q qemu",
        "cd qemu-*/",
        "mkdir build",
        "cd build",
        f"../configure {' '.join(OPTIONS)}",
        f"ninja qemu-aarch64 {PLUGIN}",
        "mkdir /built",
        f"cp qemu-aarch64 {PLUGIN} /built",
        f"ldd qemu-aarch64 {PLUGIN} | grep -o '/[^ ]*' | grep '^/lib' | xargs -I F cp -L F /built",
    )
    chroot(system, " && ".join(steps), log)
    shutil.copytree(system / "built", work / "qemu")
    shutil.rmtree(system)
