"""Builds the rig's kernel: User-Mode Linux, a Linux kernel that is an ordinary program."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cache import BuildError, Part
from debian import MIRROR, check_host, chroot, debian, run

HERE = Path(__file__).resolve().parent

RECIPE = "4"
"""Part of the hash: count up when the code below makes another kernel of the same inputs."""

SUITE = "bookworm"
"""An older Debian than the device's: the kernel is an ordinary program of the host, and needs the C
library that it was built with, or a newer one. (Linked statically it crashes at its first
process.)"""

TOOLS = ("bc", "bison", "flex", "gcc", "libc6-dev", "make", "xz-utils")

NEWEST = "trixie-backports"
SOURCES = (
    (f"linux-source/{NEWEST}", f"deb {MIRROR} {NEWEST} main"),
    ("linux-source-6.12", f"deb {MIRROR}-security {SUITE}-security main"),
)
"""Package, and where it is. Since Linux 6.16 processes need not be traced, which takes a third off
what the rig costs. That Debian moves on to newer kernels; if one of them does not build, the last
one of these takes its place, which stays as it is."""

PATCHES = (
    # gpiozero asks /proc/cpuinfo which Pi it is on. A file mounted over it would do too, but a unit
    # with a /proc of its own would not see it, and then the rig would find faults that are none.
    (
        "arch/um/kernel/um_arch.c",
        "\t\t   (loops_per_jiffy/(5000/HZ)) % 100);\n",
        "\t\t   (loops_per_jiffy/(5000/HZ)) % 100);\n"
        r'	seq_printf(m, "\nRevision\t: c03115\nModel\t\t: Raspberry Pi 4 Model B\n");'
        "\n",
    ),
    # The test camera sends its colours in this order only; a Pi's camera sends them in that one,
    # which the kiosk asks for.
    (
        "drivers/media/test-drivers/vimc/vimc-debayer.c",
        "#define VIMC_DEBAYER_SOURCE_MBUS_FMT\tMEDIA_BUS_FMT_RGB888_1X24\n",
        "#define VIMC_DEBAYER_SOURCE_MBUS_FMT\tMEDIA_BUS_FMT_BGR888_1X24\n",
    ),
    # It computes each of its pixels, on the processor that the kiosk needs: no more of them.
    (
        "drivers/media/test-drivers/vimc/vimc-common.h",
        "#define VIMC_FRAME_MAX_WIDTH 4096\n#define VIMC_FRAME_MAX_HEIGHT 2160\n",
        "#define VIMC_FRAME_MAX_WIDTH 640\n#define VIMC_FRAME_MAX_HEIGHT 480\n",
    ),
)
"""File of the kernel's source, a line of it, and what stands there instead."""

CHECK_CONFIG = "grep '^CONFIG_.*=y' rig.config | while read -r line; do grep -qx $line .config ||"
CHECK_CONFIG += " { echo missing in the kernel: $line; exit 1; }; done"
"""A line that a newer kernel does not know, or whose needs are not met, would be left out."""


def kernel() -> Part:
    """The kernel, an executable file."""
    config = (HERE / "kernel.config").read_text(encoding="utf-8")
    patches = [text for patch in PATCHES for text in patch]
    sources = [text for source in SOURCES for text in source]
    return Part("kernel", "linux", (RECIPE, SUITE, *sources, *TOOLS, *patches, config), _make)


def _make(work: Path, log: Path) -> None:
    check_host()
    *newer, last = SOURCES
    for source in newer:
        try:
            return _make_of(*source, work, log)
        except BuildError as error:
            print(f"no kernel of {source[0]}, the slower {last[0]} is built: {error}", flush=True)
    return _make_of(*last, work, log)


def _make_of(package: str, repository: str, work: Path, log: Path) -> None:
    root = work / "debian"
    shutil.rmtree(root, ignore_errors=True)
    repositories = (f"deb {MIRROR} {SUITE} main", repository)
    debian(root, (*TOOLS, package), log, suite=SUITE, sources=repositories)
    archive = next((root / "usr/src").glob("linux-source-*.tar.xz"))
    source = root / "src"
    source.mkdir()
    run(["tar", "-C", str(source), "--strip-components=1", "-xf", str(archive)], log)
    for name, old, new in PATCHES:
        text = (source / name).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise BuildError(f"{archive.name}: {name} is not as the rig expects it")
        (source / name).write_text(text.replace(old, new), encoding="utf-8")
    shutil.copy(HERE / "kernel.config", source / "rig.config")
    make = f"make -s ARCH=um -j{os.cpu_count() or 1}"
    steps = (
        f"cd /src; KCONFIG_ALLCONFIG=rig.config {make} allnoconfig",
        CHECK_CONFIG,
        f"{make} linux",
        "strip linux",
    )
    chroot(root, " && ".join(steps), log)
    shutil.copy(source / "linux", work / "linux")
    shutil.rmtree(root)
