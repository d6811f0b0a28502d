"""Small disks of our own, to be filled, made read-only and cut off from power."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class Disk:
    """A mounted tmpfs that can be filled, made larger, and made read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave not one byte free."""
        with (self.folder / "filler").open("ab", buffering=0) as filler:
            for size in (65536, 4096):
                try:
                    while filler.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def empty(self) -> None:
        (self.folder / "filler").unlink()

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Card:
    """An ext4 file system in an image file, like an SD card's."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image = image
        self.folder = folder

    def mount(self) -> None:
        subprocess.run(
            ["mount", "-o", "loop", str(self.image), str(self.folder)],
            check=True,
            capture_output=True,
        )

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True, capture_output=True)

    def fail(self) -> None:
        """What Linux does with a card that gives errors: read-only at once, open files too."""
        subprocess.run(["mount", "-o", "remount,abort", str(self.folder)], check=True)

    def repair(self) -> None:
        """Unmount, check and mount again; nobody may have a file open."""
        self.unmount()
        subprocess.run(["fsck.ext4", "-p", str(self.image)], capture_output=True)
        self.mount()


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    it = Card(tmp_path / "card.img", tmp_path / "card")
    it.folder.mkdir()
    if any(shutil.which(tool) is None for tool in ("mkfs.ext4", "fsck.ext4", "mount")):
        pytest.skip("needs mkfs.ext4, fsck.ext4 and mount")
    with it.image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", str(it.image)], check=True)
    try:
        it.mount()
    except subprocess.CalledProcessError:
        pytest.skip("mounting an image file is not permitted here")
    yield it
    subprocess.run(["umount", "--lazy", str(it.folder)], check=True)
