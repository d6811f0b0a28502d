"""Builds what the rig boots: a kernel and a root file system, each once for the same inputs.

Everything is made inside Debian systems of its own (mmdebstrap), so the host needs little.
The results are in ``build/rig``, in folders named after a hash of what went in.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess  # lists of arguments made here, no shell # nosec B404
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
BUILD = CHECKOUT / "build" / "rig"

RECIPE = "1"
"""Part of every hash: count up when the code below makes another thing of the same inputs."""

SUITE, MIRROR = "trixie", "http://deb.debian.org/debian"
"""The Debian that Raspberry Pi OS is made of today."""

PYTHON = "3.13"
"""Python of that Debian: wheels are downloaded for it."""

DEVICE_PACKAGES = ("systemd-sysv", "udev", "dbus", "procps", "python3", "python3-venv")
WHEEL_PACKAGES = ("gcc", "libc6-dev", "python3-dev", "python3-venv", "swig")

KERNEL_SUITE = "bookworm"
"""An older one for the kernel, which is an ordinary program of the host: it needs the C library
that it was built with, or a newer one. (Linked statically it crashes at its first process.)"""

KERNEL_SOURCES = (
    f"deb {MIRROR} {KERNEL_SUITE} main",
    f"deb {MIRROR}-security {KERNEL_SUITE}-security main",
)
KERNEL_PACKAGES = (
    "bc",
    "bison",
    "flex",
    "gcc",
    "libc6-dev",
    "linux-source-6.12",
    "make",
    "xz-utils",
)

LGPIO = "lgpio==0.2.2.0"
"""A Raspberry Pi has it from its own apt archive; PyPI has no wheel of it for Python 3.13."""

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")
REQUIREMENTS = ("requirements-edge.txt", "deploy/requirements-network.txt")

IMAGE_SIZE = "2G"

CPUINFO_END = "\t\t   (loops_per_jiffy/(5000/HZ)) % 100);\n"
CPUINFO_PI = r"""	seq_printf(m, "\nRevision\t: c03115\nModel\t\t: Raspberry Pi 4 Model B\n");
"""
"""gpiozero asks /proc/cpuinfo which Pi it is on. A file mounted over it would do too, but a unit
with a /proc of its own would not see it, and then the rig would find faults that are none."""

COMMANDS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "tar": "tar",
    "unshare": "util-linux",
}


class BuildError(Exception):
    """Something that the rig needs cannot be made here; the text says what to do."""


class Part:
    """Something that is built once for the same inputs.

    Attributes:
        path: The result; it may not exist yet.
    """

    def __init__(
        self, name: str, result: str, inputs: Sequence[str], make: Callable[[Path, Path], None]
    ) -> None:
        """Describe a part.

        Args:
            name: Beginning of the folder's name.
            result: Name of the result in the folder.
            inputs: All that the result depends on.
            make: Makes the result in a folder; the second path is the log.
        """
        key = hashlib.sha256("\0".join((RECIPE, SUITE, *inputs)).encode()).hexdigest()[:12]
        self.path = BUILD / f"{name}-{key}" / result
        self._make = make

    def built(self) -> Path:
        """The result, made now if it is missing.

        Raises:
            BuildError: A tool is missing or a step failed.
        """
        if self.path.exists():
            return self.path
        _check_host()
        folder = self.path.parent
        work = folder.with_suffix(".work")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        log = BUILD / f"{folder.name}.log"
        log.write_text("", encoding="utf-8")
        print(f"building {folder.name}, log: {log.relative_to(CHECKOUT)}", flush=True)
        begin = time.monotonic()
        self._make(work, log)
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
        print(f"built {folder.name} in {time.monotonic() - begin:.0f} s", flush=True)
        return self.path


def kernel() -> Part:
    """User-Mode Linux: a Linux kernel that is an ordinary program."""
    config = (HERE / "kernel.config").read_text(encoding="utf-8")
    inputs = (*KERNEL_SOURCES, *KERNEL_PACKAGES, CPUINFO_PI, config)
    return Part("kernel", "linux", inputs, _make_kernel)


def lgpio() -> Part:
    """The wheel of the library that moves the pins."""
    return Part("lgpio", "wheels", (*WHEEL_PACKAGES, PYTHON, LGPIO), _make_lgpio)


def device() -> Part:
    """The root file system with systemd, Python and the kiosk's requirements; no kiosk yet."""
    files = [CHECKOUT / name for name in REQUIREMENTS]
    # Not the scripts: the host hands them over at each start.
    files += sorted(path for path in (HERE / "guest").iterdir() if path.suffix != ".py")
    texts = [path.read_text(encoding="utf-8") for path in files]
    inputs = (*DEVICE_PACKAGES, PYTHON, LGPIO, IMAGE_SIZE, *texts)
    return Part("device", "root.ext4", inputs, _make_device)


def _check_host() -> None:
    absent = sorted({package for name, package in COMMANDS.items() if not shutil.which(name)})
    if absent:
        raise BuildError(f"missing tools: sudo apt install {' '.join(absent)}")
    if os.geteuid() != 0:
        raise BuildError("building the device's file system needs root: start it with sudo")
    if os.uname().machine != "x86_64":
        raise BuildError(f"User-Mode Linux runs on x86-64 only, this is {os.uname().machine}")


def _make_kernel(work: Path, log: Path) -> None:
    debian = _debian(work / "debian", KERNEL_PACKAGES, log, KERNEL_SUITE, KERNEL_SOURCES)
    archive = next((debian / "usr/src").glob("linux-source-*.tar.xz"))
    source = debian / "src"
    source.mkdir()
    _run(["tar", "-C", str(source), "--strip-components=1", "-xf", str(archive)], log)
    cpuinfo = source / "arch/um/kernel/um_arch.c"
    text = cpuinfo.read_text(encoding="utf-8")
    if text.count(CPUINFO_END) != 1:
        raise BuildError(f"{archive.name}: the kernel's /proc/cpuinfo is written in another way")
    cpuinfo.write_text(text.replace(CPUINFO_END, CPUINFO_END + CPUINFO_PI), encoding="utf-8")
    shutil.copy(HERE / "kernel.config", source / "rig.config")
    make = f"make -s ARCH=um -j{os.cpu_count() or 1}"
    steps = (
        f"cd /src; {make} x86_64_defconfig",
        "ARCH=um ./scripts/kconfig/merge_config.sh -m .config rig.config",
        f"{make} olddefconfig",
        f"{make} linux",
        "strip linux",
    )
    _chroot(debian, " && ".join(steps), log)
    shutil.copy(source / "linux", work / "linux")
    shutil.rmtree(debian)


def _make_lgpio(work: Path, log: Path) -> None:
    debian = _debian(work / "debian", WHEEL_PACKAGES, log)
    wheels = debian / "wheels"
    # PYPI=1: with its own copy of the C library, as its wheels for other Pythons are made.
    _pip_download(wheels, ["--no-binary", "lgpio", LGPIO], log, {"PYPI": "1"})
    _pip_download(wheels, ["setuptools"], log)
    steps = (
        "python3 -m venv /venv",
        "/venv/bin/pip install --no-index --find-links /wheels setuptools",
        "PYPI=1 /venv/bin/pip wheel --no-index --no-build-isolation --no-deps -w /built"
        " /wheels/lgpio-*.tar.gz",
    )
    _chroot(debian, " && ".join(steps), log)
    shutil.copytree(debian / "built", work / "wheels")
    shutil.rmtree(debian)


def _make_device(work: Path, log: Path) -> None:
    pins = lgpio().built()
    root = _debian(work / "debian", DEVICE_PACKAGES, log)
    shutil.copytree(pins, root / "wheels")
    lists = []
    target = [f"--python-version={PYTHON}", *(f"--platform={name}" for name in PLATFORMS)]
    for name in REQUIREMENTS:
        listed = CHECKOUT / name
        _pip_download(root / "wheels", [*target, "-r", str(listed)], log)
        shutil.copy(listed, root / "wheels" / listed.name)
        lists += ["-r", f"/wheels/{listed.name}"]
    pip = "/opt/mask-kiosk/.venv/bin/python -m pip install --no-index --find-links /wheels"
    steps = (
        "python3 -m venv --system-site-packages /opt/mask-kiosk/.venv",
        f"{pip} {' '.join(lists)}",
        f"{pip} --no-deps lgpio",
        "rm -r /wheels",
        "groupadd --system --force gpio",
        "systemd-machine-id-setup",
        "systemctl mask getty.target console-getty.service serial-getty@ttyS0.service",
        "systemctl enable rig-agent.service",
        # Otherwise the first start refreshes databases that are fresh.
        "touch --reference=/usr /etc/.updated /var/.updated",
    )
    guest = HERE / "guest"
    shutil.copy(guest / "rig-agent.service", root / "etc/systemd/system")
    shutil.copy(guest / "60-gpio.rules", root / "etc/udev/rules.d")
    (root / "rig").mkdir()
    (root / "etc/fstab").write_text("/dev/ubda / ext4 defaults 0 1\nshare /rig hostfs ro 0 0\n")
    (root / "etc/hostname").write_text("kiosk\n")
    _chroot(root, " && ".join(steps), log)
    image = work / "root.ext4"
    _run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(image), IMAGE_SIZE], log)
    shutil.rmtree(root)


def _debian(
    root: Path,
    packages: Sequence[str],
    log: Path,
    suite: str = SUITE,
    sources: Sequence[str] = (MIRROR,),
) -> Path:
    """A small Debian in a new folder."""
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    include = f"--include={','.join(packages)}"
    # It mounts /proc and /dev below the folder. In a mount table of its own these are gone when it
    # ends, however it ends: whoever removes the folder then must not reach the host's /dev.
    alone = ["unshare", "--mount", "mmdebstrap", "--variant=minbase"]
    _run([*alone, *excluded, include, suite, str(root), *sources], log)
    return root


def _chroot(root: Path, commands: str, log: Path) -> None:
    _run(["chroot", str(root), "sh", "-ec", commands], log, {"PATH": "/usr/sbin:/usr/bin"}, True)


def _pip_download(
    folder: Path, wanted: Sequence[str], log: Path, extra: dict[str, str] | None = None
) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder)]
    if "--no-binary" not in wanted:
        pip += ["--only-binary", ":all:"]
    _run([*pip, *wanted], log, extra)


def _run(
    command: Sequence[str], log: Path, extra: dict[str, str] | None = None, bare: bool = False
) -> None:
    """Run a command into the log.

    Args:
        command: Program and arguments.
        log: Gets its output.
        extra: Environment variables beside, or with ``bare`` instead of, the present ones.
        bare: Whether the present environment is left out.

    Raises:
        BuildError: It failed.
    """
    environment = ({} if bare else dict(os.environ)) | (extra or {})
    with log.open("a", encoding="utf-8") as output:
        print(f"$ {' '.join(command)}", file=output, flush=True)
        code = subprocess.run(  # a list of arguments made here, no shell # nosec B603
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode
    if code:
        last = " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])
        raise BuildError(f"{command[0]} failed with {code}: {last} (all of it: {log})")
