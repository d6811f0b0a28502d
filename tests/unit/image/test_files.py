"""The card's scripts and its unit, by the tools that know their languages."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

IMAGE = Path(__file__).resolve().parents[3] / "deploy" / "image"
CARD = IMAGE / "card"
SCRIPTS = [
    CARD / "firstrun.sh",
    CARD / "vendor-data",
    CARD / "mask-kiosk" / "hook.sh",
    CARD / "mask-kiosk" / "first-boot.sh",
    IMAGE / "layer" / "mask-kiosk.d" / "install-in-root",
]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck(script: Path, tmp_path: Path) -> None:
    # cloud-init takes the first line off.
    text = script.read_text(encoding="utf-8").removeprefix("#cloud-boothook\n")
    copy = tmp_path / "script"
    copy.write_text(text, encoding="utf-8")
    done = subprocess.run(["shellcheck", copy], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    name = "mask-kiosk-first-boot.service"
    text = (CARD / "mask-kiosk" / name).read_text(encoding="utf-8")
    unit = tmp_path / name
    unit.write_text(text.replace("@CARD@", "/boot/firmware/mask-kiosk"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=yes", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_cloud_init_takes_the_file_for_a_script_that_runs_at_every_boot() -> None:
    lines = (CARD / "vendor-data").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["#cloud-boothook", "#!/bin/sh"]
