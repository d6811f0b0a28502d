"""Small Debian systems in folders: everything that the rig boots is made inside them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cache import BuildError, run

SUITE, MIRROR = "trixie", "http://deb.debian.org/debian"
"""The Debian that Raspberry Pi OS is made of today."""

PYTHON = "3.13"
"""Python of that Debian: wheels are downloaded for it."""

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")

COMMANDS = {
    "dpkg-deb": "dpkg",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "tar": "tar",
    "unshare": "util-linux",
}


def check_commands(commands: Mapping[str, str]) -> None:
    """Whether commands are there.

    Args:
        commands: Names, and the package of each.

    Raises:
        BuildError: One is not; the text says what to install.
    """
    absent = sorted({package for name, package in commands.items() if not shutil.which(name)})
    if absent:
        raise BuildError(f"missing tools: sudo apt install {' '.join(absent)}")


def check_host() -> None:
    """Whether a Debian can be made and User-Mode Linux be built here.

    Raises:
        BuildError: It cannot; the text says what to do.
    """
    check_commands(COMMANDS)
    if os.geteuid() != 0:
        raise BuildError("building the device's file system needs root: start it with sudo")
    if os.uname().machine != "x86_64":
        raise BuildError(f"User-Mode Linux runs on x86-64 only, this is {os.uname().machine}")


def debian(
    root: Path,
    packages: Sequence[str],
    log: Path,
    *,
    suite: str = SUITE,
    sources: Sequence[str] = (MIRROR,),
    configured: bool = True,
    options: Sequence[str] = (),
) -> Path:
    """A small Debian in a new folder.

    Args:
        root: The folder.
        packages: What to install, with all that it needs.
        log: Gets what the tools say.
        suite: Which Debian.
        sources: Where it comes from.
        configured: Whether the packages' scripts are run; compilers do without, and it is faster.
        options: More of mmdebstrap's options.
    """
    variant, excluded = "--variant=extract", []
    if configured:  # Where packages are only unpacked, leaving files out takes longer.
        variant = "--variant=minbase"
        names = ("doc", "man", "locale")
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in names]
    include = f"--include={','.join(packages)}"
    # It mounts /proc and /dev below the folder. In a mount table of its own these are gone when it
    # ends, however it ends: whoever removes the folder then must not reach the host's /dev.
    alone = ["unshare", "--mount", "mmdebstrap", variant]
    run([*alone, *excluded, *options, include, suite, str(root), *sources], log)
    return root


def chroot(root: Path, commands: str, log: Path) -> None:
    """Run shell commands in a Debian."""
    run(["chroot", str(root), "sh", "-ec", commands], log, {"PATH": "/usr/sbin:/usr/bin"})


def pip(words: Sequence[str], log: Path) -> None:
    """Run this Python's pip for the device's Python; nothing that it fetches is run here."""
    target = [f"--python-version={PYTHON}", *(f"--platform={name}" for name in PLATFORMS)]
    common = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    run([sys.executable, "-m", "pip", *words, *common, "--only-binary", ":all:", *target], log)


def pip_sources(folder: Path, wanted: Sequence[str], log: Path) -> None:
    """Download and unpack sources, each into a folder below one."""
    common = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:"]
    archives = folder.with_suffix(".archives")
    run([sys.executable, "-m", "pip", "download", *common, "-d", str(archives), *wanted], log)
    for archive in archives.iterdir():
        shutil.unpack_archive(archive, folder, filter="data")
    shutil.rmtree(archives)
