"""What a push needs: the inventory of some kiosks, releases, and the playbooks run on both."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from tests.fleet.roots import ROOT, Root, make_keys

PLAYBOOKS = ROOT / "deploy/update"

CLIP = "/var/lib/clip.avi"
CLIP_FPS, CLIP_S = 2, 1800
"""Longer than any test: a clip that ends would end the kiosk."""

SETTINGS = f"""
[source]
uri = "{CLIP}"
[indicator]
pins = "none"
"""

RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)


@dataclass(frozen=True)
class Recap:
    """What Ansible says of one kiosk at the end."""

    changed: int
    unreachable: int
    failed: int


@dataclass(frozen=True)
class Push:
    """A run of a playbook."""

    code: int
    output: str

    @property
    def recap(self) -> dict[str, Recap]:
        """By kiosk; one that was not looked at is missing."""
        found = RECAP.findall(self.output)
        return {n: Recap(int(c), int(u), int(f)) for n, _, c, u, f in found}

    @property
    def changed(self) -> dict[str, int]:
        return {name: recap.changed for name, recap in self.recap.items()}


class Kiosks:
    """Some kiosks; the first is the canary."""

    def __init__(self, names: list[str], folder: Path) -> None:
        self.folder = folder
        self.roots = {name: Root(name, folder / name) for name in names}
        self.canary = names[0]
        make_keys(folder / "keys", [root.port for root in self.roots.values()])
        ssh = " ".join(self.roots[names[0]].ssh_options)
        hosts = {
            name: {"ansible_host": "127.0.0.1", "ansible_port": root.port}
            for name, root in self.roots.items()
        }
        inventory = {
            "all": {
                "vars": {
                    "ansible_user": "root",
                    # root is who logs in, and there is no sudo.
                    "ansible_become": False,
                    "ansible_ssh_common_args": ssh,
                },
                "children": {
                    "canary": {"hosts": {self.canary: hosts.pop(self.canary)}},
                    "fleet": {"hosts": hosts},
                },
            }
        }
        (folder / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")

    def start(self) -> None:
        write_clip(self.folder / "clip.avi")
        for root in self.roots.values():
            root.start()
            root.run(f"install -m 644 {self.folder / 'clip.avi'} {CLIP}")

    def __getitem__(self, name: str) -> Root:
        return self.roots[name]

    def push(self, playbook: str, *arguments: str, **variables: object) -> Push:
        """Run a playbook as a fleet owner would, in the folder of the playbooks."""
        extra = [word for k, v in variables.items() for word in ("-e", f"{k}={v}")]
        done = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "ansible-playbook"), f"{playbook}.yml"),
                *("-i", str(self.folder / "inventory.yml"), *extra, *arguments),
            ],
            cwd=PLAYBOOKS,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")},
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_HOME": str(self.folder / "ansible"),
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return Push(done.returncode, done.stdout + done.stderr)

    def stop(self) -> None:
        for root in self.roots.values():
            root.stop()


def write_clip(path: Path) -> None:
    """A room in which nothing happens but noise."""
    generator = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), CLIP_FPS, (96, 64))
    assert writer.isOpened()
    for _ in range(CLIP_FPS * CLIP_S):
        writer.write(generator.integers(60, 200, (64, 96, 3), np.uint8))
    writer.release()


def release(
    bundle: Path, folder: Path, version: str, change: tuple[str, str] | None = None
) -> Path:
    """A bundle of another version, made from a real one.

    Args:
        bundle: The real one.
        folder: Where the new one is written.
        version: What it calls itself.
        change: A file in it, and what is appended to that.
    """
    with tarfile.open(bundle) as archive:
        archive.extractall(folder, filter="data")
    (old,) = folder.glob("mask-kiosk-*/")
    name, _, architecture = old.name.rpartition("-offline-")
    before = name.removeprefix("mask-kiosk-")
    new = old.rename(folder / f"mask-kiosk-{version}-offline-{architecture}")
    for file in ("pyproject.toml", "edge_app/__init__.py"):
        path = new / file
        path.write_text(path.read_text().replace(f'"{before}"', f'"{version}"'))
    if change is not None:
        with (new / change[0]).open("a") as file:
            file.write(change[1])
    files = sorted(str(p.relative_to(new)) for p in new.rglob("*") if p.is_file())
    sums = [
        f"{hashlib.sha256((new / name).read_bytes()).hexdigest()}  {name}\n"
        for name in files
        if name != "SHA256SUMS"
    ]
    (new / "SHA256SUMS").write_text("".join(sums))
    out = folder / f"{new.name}.tar.gz"
    with tarfile.open(out, "w:gz", compresslevel=1) as archive:
        archive.add(new, new.name)
    return out
