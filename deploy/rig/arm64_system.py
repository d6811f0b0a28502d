"""What the arm64 rig runs: Raspberry Pi OS's Debians for arm64, with the kiosk's requirements.

Packages are unpacked, none of their scripts runs. Programs in such a folder run on this machine,
instruction by instruction, under QEMU's user mode.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess  # lists of arguments made here, no shell # nosec B404
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache import BuildError, Part, run
from debian import MIRROR, check_commands, debian

CHECKOUT = Path(__file__).resolve().parents[2]

RECIPE = "1"
"""Part of every hash: count up when the code below makes another thing of the same inputs."""

CORES = {"cortex-a72": "Pi 4", "cortex-a76": "Pi 5"}

QEMU_SUITE = "trixie"
"""Its QEMU 10 is linked statically, so it runs on any host. Version 7 of "bookworm" crashes in
LiteRT, or hides from it what its fast kernels need."""

PACKAGES = (
    "base-files",
    "libc6",
    "libstdc++6",
    "python3",
    "python3-numpy",
    "python3-opencv",
    "python3-pip-whl",
    "python3-venv",
)
"""What deploy/install.sh takes from apt, as far as models and pictures need it, and pip."""

LIBRARIES = "/usr/lib/aarch64-linux-gnu"
UNLINKED = ("blas", "lapack")
"""Folders whose libraries only a package's script makes known (update-alternatives)."""

NO_NETWORK = re.compile(r"Retrying \(Retry\(|Temporary failure in name resolution")
"""In pip's words: what is not there may only be out of reach."""

TIMEOUT = 900


class UnfitError(Exception):
    """The requirements do not suit the device: no failure of the rig, a finding of it."""


@dataclass(frozen=True, slots=True)
class System:
    """A Debian that Raspberry Pi OS is made of.

    Attributes:
        suite: Its name.
        python: Version of its Python.
        glibc: Its C library is 2.this: wheels made for an older one run.
    """

    suite: str
    python: str
    glibc: int


SYSTEMS = (System("bookworm", "3.11", 36), System("trixie", "3.13", 41))


@dataclass(frozen=True, slots=True)
class Installation:
    """A way to install the kiosk's requirements.

    Attributes:
        name: What to call it: letters.
        files: Lists with hashes.
        system: Whether Debian's Python packages (numpy, OpenCV) are used.
    """

    name: str
    files: tuple[str, ...]
    system: bool


DEVICE = Installation("device", ("deploy/requirements-device.txt",), system=True)
"""As deploy/install.sh does it."""

EDGE = Installation("edge", ("requirements-edge.txt", "deploy/requirements-network.txt"), False)
"""As the README does it: everything from PyPI."""


def check_host() -> None:
    """Whether an arm64 Debian can be made here.

    Raises:
        BuildError: It cannot; the text says what to do.
    """
    check_commands({"mmdebstrap": "mmdebstrap"})
    if os.geteuid() != 0:
        raise BuildError("unpacking a Debian needs root: start it with sudo")
    if os.uname().machine != "x86_64":
        raise BuildError(f"the emulator is for x86-64 only, this is {os.uname().machine}")


def emulator() -> Part:
    """QEMU's user mode for arm64, one program."""
    return Part("qemu", "qemu-aarch64", (RECIPE, MIRROR, QEMU_SUITE), _make_emulator)


def root(system: System) -> Part:
    """The unpacked Debian."""

    def make(work: Path, log: Path) -> None:
        check_host()
        options = ("--arch=arm64",)
        debian(work / "root", PACKAGES, log, suite=system.suite, configured=False, options=options)

    inputs = (RECIPE, MIRROR, system.suite, *PACKAGES)
    return Part(f"arm64{system.suite}", "root", inputs, make)


def environment(system: System, installation: Installation) -> Part:
    """A virtual environment with the requirements.

    Beside Debian's packages they are installed as on the device: by its own, emulated pip, which
    knows what it has. Without them this machine's pip chooses the same wheels five times as fast.
    Building it raises :exc:`UnfitError` when pip refuses the requirements.
    """
    lists = [CHECKOUT / name for name in installation.files]
    below = root(system)

    def make(work: Path, log: Path) -> None:
        base, venv = below.built(), work / "venv"
        flags = ["--system-site-packages"] if installation.system else []
        words = ["-m", "venv", "--without-pip", *flags, str(venv)]
        _run_emulated(base, base / "usr/bin/python3", words, log)
        if not installation.system:
            site = venv / "lib" / f"python{system.python}" / "site-packages"
            _pip(system, ["install", "--no-compile", "--target", str(site)], lists, log)
            return
        wheels = work / "wheels"
        _pip(system, ["download", "--no-deps", "--dest", str(wheels)], lists, log)
        pip = next((base / "usr/share/python-wheels").glob("pip-*.whl"))
        words = [str(pip / "pip"), "install", "--quiet", "--no-cache-dir", "--require-hashes"]
        words += ["--no-index", "--find-links", str(wheels), "--no-compile"]
        try:
            _run_emulated(base, venv / "bin/python", [*words, *_lists(lists)], log)
        except BuildError as error:
            raise UnfitError(str(error)) from None
        shutil.rmtree(wheels)

    texts = [path.read_text(encoding="utf-8") for path in lists]
    inputs = (RECIPE, below.label, str(below.path), str(installation.system), *texts)
    return Part(f"arm64{system.suite}{installation.name}", "venv", inputs, make)


def emulated(
    base: Path, core: str, program: Path, words: Sequence[str], qemu: Sequence[str] | None = None
) -> list[str]:
    """The command that runs a program of an arm64 Debian on this machine.

    Args:
        base: The unpacked Debian.
        core: The processor to emulate, see :data:`CORES`.
        program: What to run.
        words: Its arguments.
        qemu: Another emulator than :func:`emulator`'s, with options.
    """
    first = qemu or [str(emulator().built())]
    return [*first, "-L", str(base), "-cpu", core, str(program), *words]


def variables(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """All environment variables of a program that is run so."""
    paths = ":".join(f"{LIBRARIES}/{name}" for name in UNLINKED)
    return {
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": paths,
        "PATH": "/usr/bin",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_ROOT_USER_ACTION": "ignore",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        **(extra or {}),
    }


def run_python(
    system: System, installation: Installation, core: str, words: Sequence[str], compiled: Path
) -> subprocess.CompletedProcess[str]:
    """Run a Python of the device, with this checkout's packages, and wait for it.

    Args:
        system: The Debian.
        installation: What is installed in it.
        core: The processor to emulate.
        words: Python's arguments.
        compiled: Folder for compiled modules: to compile them takes an emulated Python seconds.
    """
    base, venv = root(system).built(), environment(system, installation).built()
    return subprocess.run(  # a list of arguments made here, no shell # nosec B603
        emulated(base, core, venv / "bin/python", words),
        env=variables({"PYTHONPATH": str(CHECKOUT), **writing(compiled)}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def writing(compiled: Path) -> dict[str, str]:
    """Variables with which Python keeps compiled modules in a folder."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(compiled)}


def _make_emulator(work: Path, log: Path) -> None:
    check_host()
    system = debian(work / "debian", ("qemu-user",), log, suite=QEMU_SUITE, configured=False)
    shutil.move(system / "usr/bin/qemu-aarch64", work)
    shutil.rmtree(system)


def _pip(system: System, words: Sequence[str], lists: Sequence[Path], log: Path) -> None:
    """Run this machine's pip for the device's Python.

    Raises:
        UnfitError: The lists do not suit that Python.
        BuildError: There is no network.
    """
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in range(17, system.glibc + 1)]
    common = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
    common += ["--only-binary", ":all:", "--python-version", system.python]
    common += [f"--platform={name}" for name in ("manylinux2014_aarch64", *platforms)]
    try:
        run([sys.executable, "-m", "pip", *words, *common, *_lists(lists)], log)
    except BuildError as error:
        if NO_NETWORK.search(log.read_text(encoding="utf-8", errors="replace")):
            raise
        raise UnfitError(str(error)) from None


def _lists(paths: Sequence[Path]) -> list[str]:
    return [word for path in paths for word in ("-r", str(path))]


def _run_emulated(base: Path, program: Path, words: Sequence[str], log: Path) -> None:
    run(emulated(base, next(iter(CORES)), program, words), log, variables())
