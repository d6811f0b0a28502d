"""Builds the rig's root file system: the Debian that a kiosk is installed on, and no kiosk yet.

What a Raspberry Pi has from the archive of its maker and Debian has not (python3-lgpio,
python3-picamera2) is put beside Debian's Python packages, where those would be.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from cache import Part
from debian import MIRROR, PYTHON, SUITE, check_host, chroot, debian, pip, pip_sources, run

HERE = Path(__file__).resolve().parent

RECIPE = "3"
"""Part of every hash: count up when the code below makes another thing of the same inputs."""

SYSTEM_PACKAGES = (
    "systemd-sysv",
    "udev",
    "dbus",
    "procps",
    # What deploy/install.sh asks for; with network it would fetch them itself.
    "python3",
    "python3-venv",
    "python3-numpy",
    "python3-opencv",
    "python3-cryptography",
)
CAMERA_PACKAGES = (
    "python3-libcamera",
    "libcamera-ipa",
    # What picamera2 imports.
    "python3-av",
    "python3-jsonschema",
    "python3-libarchive-c",
    "python3-piexif",
    "python3-pil",
    "python3-prctl",
    "python3-tqdm",
)
CARD_PACKAGES = (
    "cloud-init",
    "network-manager",
    # What cloud-init looks for.
    "e2fsprogs",
    "iproute2",
    "openssh-server",
    # A boot partition is mended after a power cut.
    "dosfstools",
)
"""What Raspberry Pi OS has besides, as far as it takes part in a card's first start."""

CAMERA_WHEELS = ("picamera2==0.3.38", "simplejpeg==1.9.0", "videodev2==0.0.4")

WHEEL_PACKAGES = (
    "base-files",
    "coreutils",
    "dash",
    "gcc",
    "libc6-dev",
    "python3-dev",
    "python3-minimal",
    "python3-setuptools",
    "swig",
)
WHEEL_SOURCES = ("lgpio==0.2.2.0", "pidng==4.0.9")
"""PyPI has no wheels of these for the device's Python."""

SITE = f"usr/local/lib/python{PYTHON}/dist-packages"

IMAGE_SIZE = "4G"
"""Most of it is a hole in the file."""

FSTAB = """\
/dev/ubda / ext4 defaults 0 1
share /rig hostfs ro 0 0
"""

CARD_FSTAB = "/dev/ubdb /boot/firmware vfat defaults 0 2\n"
CLOUD = """\
datasource_list: [NoCloud, None]
datasource: {NoCloud: {seedfrom: "file:///boot/firmware"}}
"""
"""As Raspberry Pi OS configures cloud-init."""


def wheels() -> Part:
    """Python packages that are built from source."""
    inputs = (RECIPE, MIRROR, SUITE, *WHEEL_PACKAGES, PYTHON, *WHEEL_SOURCES)
    return Part("wheels", "built", inputs, _make_wheels)


def root() -> Part:
    """The root file system, an image of a disk."""
    lists = (*SYSTEM_PACKAGES, *CAMERA_PACKAGES, *CAMERA_WHEELS, *WHEEL_SOURCES)
    inputs = (RECIPE, MIRROR, SUITE, PYTHON, *lists, IMAGE_SIZE, FSTAB, *_files())
    return Part("root", "root.ext4", inputs, _make_root)


def card_root() -> Part:
    """The same as on a card that Raspberry Pi Imager wrote, with cloud-init and a boot partition.

    That one is the device's second disk.
    """
    inputs = (root().label, *CARD_PACKAGES, CARD_FSTAB, CLOUD)
    return Part("cardroot", "root.ext4", inputs, _make_card_root)


def _files() -> list[str]:
    # Not the scripts: the host hands them over at each start.
    files = sorted(path for path in (HERE / "guest").iterdir() if path.suffix != ".py")
    files.append(HERE / "stand_in" / "pykms.py")
    return [path.read_text(encoding="utf-8") for path in files]


def _make_wheels(work: Path, log: Path) -> None:
    system = debian(work / "debian", WHEEL_PACKAGES, log, configured=False)
    pip_sources(system / "src", WHEEL_SOURCES, log)
    # PYPI=1: lgpio with its own copy of the C library, as its wheels for other Pythons are made.
    build = "import setuptools; exec(open('setup.py').read())"
    each = f'cd "$folder"; PYPI=1 python3 -c "{build}" -q bdist_wheel -d /built'
    chroot(system, f"for folder in /src/*; do {each}; done", log)
    shutil.copytree(system / "built", work / "built")
    shutil.rmtree(system)


def _make_root(work: Path, log: Path) -> None:
    _make_image(_system(work, (), log), work, log)


def _make_card_root(work: Path, log: Path) -> None:
    system = _system(work, CARD_PACKAGES, log)
    (system / "boot/firmware").mkdir()
    with (system / "etc/fstab").open("a") as fstab:
        fstab.write(CARD_FSTAB)
    (system / "etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg").write_text(CLOUD)
    _make_image(system, work, log)


def _system(work: Path, more: Sequence[str], log: Path) -> Path:
    check_host()
    built = sorted(wheels().built().glob("*.whl"))
    system = debian(work / "debian", (*SYSTEM_PACKAGES, *CAMERA_PACKAGES, *more), log)
    site = system / SITE
    pip(["install", "--no-compile", "--target", str(site), *CAMERA_WHEELS], log)
    for wheel in built:
        shutil.unpack_archive(wheel, site, format="zip")
    shutil.copy(HERE / "stand_in" / "pykms.py", site)
    guest = HERE / "guest"
    shutil.copy(guest / "rig-agent.service", system / "etc/systemd/system")
    shutil.copy(guest / "60-rig.rules", system / "etc/udev/rules.d")
    (system / "rig").mkdir()
    (system / "etc/fstab").write_text(FSTAB)
    (system / "etc/hostname").write_text("kiosk\n")
    steps = (
        f"python3 -m compileall -q /{SITE}",
        "groupadd --system --force gpio",
        "systemd-machine-id-setup",
        "systemctl mask getty.target console-getty.service serial-getty@ttyS0.service",
        "systemctl enable rig-agent.service",
        # Otherwise the first start refreshes databases that are fresh.
        "touch --reference=/usr /etc/.updated /var/.updated",
    )
    chroot(system, " && ".join(steps), log)
    return system


def _make_image(system: Path, work: Path, log: Path) -> None:
    image = work / "root.ext4"
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(system), str(image), IMAGE_SIZE], log)
    shutil.rmtree(system)
