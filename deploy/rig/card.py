"""An SD card's boot partition as Raspberry Pi Imager leaves it, prepared with prepare_card.py.

A file system of its own kind (FAT), in a file that the device has as its second disk.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import bundle
from cache import run
from kiosk import PICAMERA

PREPARE = bundle.CHECKOUT / "deploy" / "image" / "prepare_card.py"

COMMANDS = {"mcopy": "mtools", "mkfs.vfat": "dosfstools"}
"""What makes a card, and the package of each."""

SIZE_MB = 512
"""As in Raspberry Pi OS."""

KERNEL_ARGUMENT = "ds=nocloud;i=rpi-imager-1790623015181"
"""As Imager writes it into cmdline.txt: where cloud-init looks, and which card this is."""

IMAGERS = {
    "cmdline.txt": f"console=tty1 root=PARTUUID=0123abcd-02 rootwait {KERNEL_ARGUMENT}\n",
    "config.txt": "arm_64bit=1\n",
    "kernel8.img": "",
    "meta-data": "instance_id: rpios-image\n",
    "network-config": "network:\n  version: 2\n",
    "user-data": """\
#cloud-config
hostname: front-door
manage_etc_hosts: true
users:
- name: installer
  shell: /bin/bash
  lock_passwd: true
""",
}
"""What is on it before."""

SECRET_NAME, SECRET = "mqtt-password", "s3cret\n"

SETTINGS = f"{PICAMERA}[indicator]\namber = {{green}}\ngreen = {{amber}}\n"
"""Two lamps the other way round: the light tells whether these settings are used."""


def make(folder: Path, amber: int, green: int, log: Path) -> Path:
    """A prepared card, a file.

    Args:
        folder: A new one, for the card and what it is made of.
        amber: Pin of the amber lamp, which the card's settings give to the green one.
        green: Pin of the green lamp.
        log: Gets what the tools say.

    Raises:
        BuildError: It cannot be made.
    """
    partition = folder / "bootfs"
    partition.mkdir(parents=True)
    for name, text in IMAGERS.items():
        (partition / name).write_text(text, encoding="utf-8")
    # What is on a card for a Pi has this name.
    packed = bundle.packed(log)
    archive = folder / packed.name.replace("x86_64", "arm64")
    shutil.copy(packed, archive)
    settings, secret = folder / "kiosk.toml", folder / SECRET_NAME
    settings.write_text(SETTINGS.format(amber=amber, green=green), encoding="utf-8")
    secret.write_text(SECRET, encoding="utf-8")
    words = [str(partition), str(archive), "--settings", str(settings), "--secret", str(secret)]
    run([sys.executable, str(PREPARE), *words], log)
    disk = folder / "card.fat"
    run(["mkfs.vfat", "-n", "BOOTFS", "-C", str(disk), str(SIZE_MB * 1024)], log)
    entries = [str(path) for path in sorted(partition.iterdir())]
    run(["mcopy", "-s", "-i", str(disk), *entries, "::"], log)
    return disk
