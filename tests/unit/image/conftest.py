"""Fixtures for the SD card: boot partitions of both kinds, and a bundle."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
IMAGE = ROOT / "deploy" / "image"
sys.path.insert(0, str(IMAGE))

CMDLINE = (
    "console=serial0,115200 console=tty1 root=PARTUUID=0123abcd-02 rootfstype=ext4 "
    "fsck.repair=yes rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot"
)
IMAGER_CMDLINE = (
    f"{CMDLINE} cfg80211.ieee80211_regdom=GB systemd.run=/boot/firstrun.sh "
    "systemd.run_success_action=reboot systemd.unit=kernel-command-line.target"
)
IMAGER_FIRSTRUN = """#!/bin/sh

set +e

CURRENT_HOSTNAME=$(cat /etc/hostname | tr -d " \\t\\n\\r")
if [ -f /usr/lib/raspberrypi-sys-mods/imager_custom ]; then
   /usr/lib/raspberrypi-sys-mods/imager_custom set_hostname door
else
   echo door >/etc/hostname
fi
rm -f /boot/firstrun.sh
sed -i 's| systemd.run.*||g' /boot/cmdline.txt
exit 0
"""

FAKE_PART = """install_packages() { echo "already there  Debian packages"; }
install_user() { :; }
"""
FAKE_INSTALL = """set -eu
echo "checking       with: edge_app check"
mkdir -p "$MASK_KIOSK_ROOT/opt/mask-kiosk"
cp "$(dirname "$0")/../pyproject.toml" "$MASK_KIOSK_ROOT/opt/mask-kiosk/"
cp "$MASK_KIOSK_ROOT/etc/mask-kiosk/kiosk.toml" "$MASK_KIOSK_ROOT/opt/mask-kiosk/seen.toml"
echo "installed      mask-kiosk.service starts at boot"
"""


@pytest.fixture
def imager() -> tuple[str, str]:
    """What Raspberry Pi Imager leaves on a bookworm card: cmdline.txt and firstrun.sh."""
    return IMAGER_CMDLINE, IMAGER_FIRSTRUN


@pytest.fixture
def bookworm(tmp_path: Path) -> Path:
    folder = tmp_path / "boot" / "firmware"
    folder.mkdir(parents=True)
    (folder / "cmdline.txt").write_text(f"{CMDLINE}\n", encoding="utf-8")
    (folder / "config.txt").write_text("arm_64bit=1\n", encoding="utf-8")
    (folder / "kernel8.img").write_bytes(b"")
    return folder


@pytest.fixture
def trixie(bookworm: Path) -> Path:
    """As Imager 2 leaves it."""
    (bookworm / "meta-data").write_text("instance_id: rpios-image\n", encoding="utf-8")
    (bookworm / "user-data").write_text("#cloud-config\nhostname: door\n", encoding="utf-8")
    (bookworm / "network-config").write_text("network:\n  version: 2\n", encoding="utf-8")
    (bookworm / "cmdline.txt").write_text(
        f"{CMDLINE} ds=nocloud;i=rpi-imager-1790623015181\n", encoding="utf-8"
    )
    return bookworm


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """One with the real settings code, and an installer that only marks that it ran."""
    path = tmp_path / "mask-kiosk-0.1.0-offline-arm64.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for source in sorted((ROOT / "edge_app").glob("*.py")):
            archive.add(source, f"mask-kiosk-0.1.0/edge_app/{source.name}")
        for name in ("pyproject.toml", "systemd/network.conf"):
            archive.add(ROOT / name, f"mask-kiosk-0.1.0/{name}")
        texts = {
            "deploy/install.sh": FAKE_INSTALL,
            "deploy/install/common.sh": "",
            "deploy/install/refuse.sh": "",
            "deploy/install/system.sh": FAKE_PART,
        }
        for name, text in texts.items():
            info = tarfile.TarInfo(f"mask-kiosk-0.1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "kiosk.toml"
    path.write_text('[mqtt]\nhost = "broker"\n[indicator]\nred = 5\n', encoding="utf-8")
    return path
